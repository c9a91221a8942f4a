import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PipelineObserver } from '#ballast/pipeline/batch.js';
import { Batcher } from '#ballast/pipeline/batcher.js';
import type { TensorMap } from '#ballast/runtime/tensor.js';

const LIMITS = { maxBatchSize: 4, maxQueueDelayMs: 0, maxQueueSize: 16 };

/** A worker that adds one to `x`, takes `ms` for each pass, and keeps the sizes of its batches. */
class AddingWorker {
  readonly count = 1;
  readonly batches: number[] = [];
  constructor(
    private readonly ms = 0,
    private readonly poison?: number,
  ) {}

  async run(inputs: TensorMap): Promise<{ outputs: TensorMap; seconds: number }> {
    const { x } = inputs;
    this.batches.push(x.dims[0]);
    await new Promise((resolve) => setTimeout(resolve, this.ms));
    const data = x.data as Float32Array;
    if (this.poison !== undefined && data.includes(this.poison)) throw new Error('poison');
    return { outputs: { y: { ...x, data: data.map((value) => value + 1) } }, seconds: this.ms / 1000 };
  }
}

const rejections: string[] = [];
const observer: PipelineObserver = {
  forward: () => undefined,
  queued: () => undefined,
  answered: () => undefined,
  promptQueries: () => undefined,
  rejected: (reason) => void rejections.push(reason),
};

const request = (values: number[], signal?: AbortSignal) => ({
  inputs: { x: { type: 'float32' as const, dims: [values.length, 1], data: Float32Array.from(values) } },
  count: values.length,
  fetches: ['y'],
  signal,
});

const answerOf = async (batcher: Batcher, values: number[]): Promise<number[]> => {
  const { outputs } = await batcher.run(request(values));
  expect(outputs.y.dims).toEqual([values.length, 1]);
  return Array.from(outputs.y.data as Float32Array);
};

describe('Batcher', () => {
  it('gives every request its own rows, in order, however they are merged and split', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 11 }), {
          minLength: 1,
          maxLength: 12,
        }),
        async (requests) => {
          const worker = new AddingWorker();
          const batcher = new Batcher('m', worker, { ...LIMITS, maxQueueSize: 1000 }, observer);
          const answers = await Promise.all(requests.map((values) => answerOf(batcher, values)));
          expect(answers).toEqual(requests.map((values) => values.map((value) => value + 1)));
          expect(Math.max(...worker.batches)).toBeLessThanOrEqual(LIMITS.maxBatchSize);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('merges what waits while the worker is busy', async () => {
    const worker = new AddingWorker(20);
    const batcher = new Batcher('m', worker, LIMITS, observer);
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((value) => answerOf(batcher, [value])));
    expect(worker.batches).toEqual([1, 4, 3]);
  });

  it('waits for more only as long as maxQueueDelayMs, and not at all when idle', async () => {
    const worker = new AddingWorker(1);
    const batcher = new Batcher('m', worker, { ...LIMITS, maxQueueDelayMs: 5_000 }, observer);
    const begin = performance.now();
    await answerOf(batcher, [1]);
    expect(performance.now() - begin).toBeLessThan(1_000);
  });

  it('does not let the rows of one request fail those of another', async () => {
    const batcher = new Batcher('m', new AddingWorker(5, 666), LIMITS, observer);
    const [good, bad, other] = await Promise.allSettled([
      answerOf(batcher, [1]),
      answerOf(batcher, [666]),
      answerOf(batcher, [3]),
    ]);
    expect(good).toMatchObject({ status: 'fulfilled', value: [2] });
    expect(bad.status).toBe('rejected');
    expect(other).toMatchObject({ status: 'fulfilled', value: [4] });
  });

  it('refuses what does not fit into the queue, and takes it once there is room', () => {
    const batcher = new Batcher('m', new AddingWorker(), LIMITS, observer);
    const place = batcher.admit(100);
    expect(() => batcher.admit(1)).toThrow(/queue of model "m" is full/);
    expect(rejections).toContain('queue-full');
    place.leave();
    place.leave();
    batcher.admit(16);
    expect(() => batcher.admit(1)).toThrow();
  });

  it('drops a request whose signal aborts before its pass', async () => {
    const worker = new AddingWorker(30);
    const batcher = new Batcher('m', worker, { ...LIMITS, maxBatchSize: 1 }, observer);
    const running = [answerOf(batcher, [1]), answerOf(batcher, [2])];
    await new Promise((resolve) => setTimeout(resolve, 5));
    const abort = new AbortController();
    const waiting = batcher.run(request([3], abort.signal));
    abort.abort(new Error('too late'));
    await expect(waiting).rejects.toThrow('too late');
    await Promise.all(running);
    expect(worker.batches).toHaveLength(2);
  });
});
