import { describe, expect, it } from 'vitest';
import type { PipelineObserver } from '#ballast/pipeline/batch.js';
import { Batcher } from '#ballast/pipeline/batcher.js';
import { buffersOf, type Tensor, type TensorMap } from '#ballast/runtime/tensor.js';

const LIMITS = { maxBatchSize: 8, maxQueueDelayMs: 0, maxQueueSize: 64 };
const observer: PipelineObserver = {
  forward: () => undefined,
  queued: () => undefined,
  answered: () => undefined,
  rejected: () => undefined,
  promptQueries: () => undefined,
};

/** Multiplies the rows of `x` by the shared `factor`, takes its inputs' memory as a thread does, and keeps its batches. */
class MultiplyingWorker {
  readonly count = 1;
  readonly batches: number[] = [];

  async run(inputs: TensorMap): Promise<{ outputs: TensorMap; seconds: number }> {
    const { x, factor } = structuredClone(inputs, { transfer: buffersOf(inputs) });
    this.batches.push(x.dims[0]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const [times] = (factor as Tensor | undefined)?.data ?? [1];
    const data = (x.data as Float32Array).map((value) => value * Number(times));
    return { outputs: { y: { ...x, data } }, seconds: 0 };
  }
}

const tensor = (...values: number[]): Tensor => ({
  type: 'float32',
  dims: [values.length, 1],
  data: Float32Array.from(values),
});
const factorOf = (value: number): TensorMap => ({ factor: tensor(value) });

async function ask(batcher: Batcher, values: number[], shared?: TensorMap): Promise<number[]> {
  const { outputs } = await batcher.run({
    inputs: { x: tensor(...values) },
    count: values.length,
    ...(shared && { shared }),
    fetches: ['y'],
  });
  return Array.from(outputs['y'].data as Float32Array);
}

describe('shared inputs of a Batcher', () => {
  it('let requests with the very same ones go together', async () => {
    const worker = new MultiplyingWorker();
    const batcher = new Batcher('m', worker, LIMITS, observer);
    const shared = factorOf(3);
    const answers = await Promise.all([1, 2, 3, 4].map((value) => ask(batcher, [value], shared)));
    expect(answers).toEqual([[3], [6], [9], [12]]);
    expect(worker.batches).toEqual([1, 3]);
  });

  it('keep requests with others apart, equal as they may be, and those without any', async () => {
    const worker = new MultiplyingWorker();
    const batcher = new Batcher('m', worker, LIMITS, observer);
    const [ten, alsoTen, five] = [factorOf(10), factorOf(10), factorOf(5)];
    const answers = await Promise.all(
      [ten, ten, ten, alsoTen, five, five, undefined, ten].map((shared, i) => ask(batcher, [i, i], shared)),
    );
    expect(answers.map(([first]) => first)).toEqual([0, 10, 20, 30, 20, 25, 6, 70]);
    expect(worker.batches).toEqual([2, 4, 2, 4, 2, 2]);
  });

  it('go with every part of a request that is larger than a batch', async () => {
    const worker = new MultiplyingWorker();
    const batcher = new Batcher('m', worker, LIMITS, observer);
    const values = Array.from({ length: 19 }, (_, i) => i);
    expect(await ask(batcher, values, factorOf(2))).toEqual(values.map((value) => 2 * value));
    expect(worker.batches).toEqual([8, 8, 3]);
  });

  it('outlive a pass, whose inputs move to the worker', async () => {
    const batcher = new Batcher('m', new MultiplyingWorker(), LIMITS, observer);
    const shared = factorOf(7);
    for (let pass = 0; pass < 3; pass++) expect(await ask(batcher, [pass], shared)).toEqual([7 * pass]);
    expect(shared['factor'].data).toEqual(Float32Array.of(7));
  });
});
