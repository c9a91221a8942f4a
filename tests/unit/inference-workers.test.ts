import { existsSync, readdirSync } from 'node:fs';
import { getPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { InferenceWorkers, type ModelSpec } from '#ballast/runtime/inference-workers.js';
import type { TensorMap } from '#ballast/runtime/tensor.js';
import { BEHIND_THE_MAIN_THREAD } from '#ballast/runtime/thread-priority.js';
import { gap } from '../fixtures/modulated-runs.js';
import { wideBatch, wideLayer } from '../fixtures/wide-layer.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/onnx/${name}`, import.meta.url));

const spec = (file: string, more: Partial<ModelSpec> = {}): ModelSpec => ({
  file: fixture(file),
  expose: [],
  companions: [],
  providers: ['cpu'],
  warmUp: { maxBatchSize: 4, sampleShapes: {}, budgetMs: 1000 },
  ...more,
});

const ONE = { workers: 1, threads: 1, alone: undefined };

const pools: InferenceWorkers[] = [];
async function start(...args: Parameters<typeof InferenceWorkers.start>): Promise<InferenceWorkers> {
  const pool = await InferenceWorkers.start(...args);
  pools.push(pool);
  await pool.complete;
  return pool;
}

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()));
});

const pair = (): TensorMap => ({
  INPUT0: { type: 'float32', dims: [2, 16], data: new Float32Array(32).fill(5) },
  INPUT1: { type: 'float32', dims: [2, 16], data: new Float32Array(32).fill(3) },
});

/** Inputs that keep the slow model busy for as many rounds of its loop. */
const slow = (trips: bigint): TensorMap => ({
  INPUT: { type: 'float32', dims: [1, 16], data: new Float32Array(16) },
  TRIPS: { type: 'int64', dims: [1, 1], data: BigInt64Array.of(trips) },
});

describe('InferenceWorkers', () => {
  it('runs a model of several inputs and outputs, and says where', async () => {
    const pool = await start(spec('add_sub-fp32.onnx'), { workers: 2, threads: 1, alone: undefined });
    expect(pool.info.provider).toBe('cpu');
    expect(pool.info.inputs.map(({ name, dims }) => [name, dims])).toEqual([
      ['INPUT0', [-1, 16]],
      ['INPUT1', [-1, 16]],
    ]);
    const { outputs } = await pool.run(pair(), ['OUTPUT0', 'OUTPUT1']);
    expect(outputs.OUTPUT0.data[0]).toBe(8);
    expect(outputs.OUTPUT1.data[31]).toBe(2);
  });

  it('refuses a provider that was named and is missing, and lets auto find one that works', async () => {
    await expect(start(spec('add_sub-fp32.onnx', { providers: ['cuda'] }), ONE)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/cuda.*install:cuda/) as string,
    });
    const pool = await start(spec('add_sub-fp32.onnx', { providers: ['auto'] }), ONE);
    expect(pool.info.provider).toBe('cpu');
    const listed = await start(spec('add_sub-fp32.onnx', { providers: ['cuda', 'cpu'] }), ONE);
    expect(listed.info).toMatchObject({ provider: 'cpu', failures: [expect.stringMatching(/^cuda: /)] });
  });

  it.skipIf(!existsSync('/proc/self/task'))(
    'gives way to the main thread, with all of its threads',
    async () => {
      const main = getPriority();
      const behind = (): number =>
        readdirSync('/proc/self/task').filter(
          (thread) => getPriority(Number(thread)) === Math.min(19, main + BEHIND_THE_MAIN_THREAD),
        ).length;
      const before = behind();
      await start(spec('slow.onnx'), { workers: 1, threads: 3, alone: undefined });
      // The worker itself, and the two that onnxruntime starts beside it.
      expect(behind() - before).toBeGreaterThanOrEqual(3);
      expect(getPriority()).toBe(main);
    },
  );

  it('keeps the event loop free while a model runs for seconds', async () => {
    const pool = await start(spec('slow.onnx'), ONE);
    const begin = performance.now();
    await pool.run(slow(20n), ['OUTPUT']);
    const trips = BigInt(Math.ceil((20 * 1500) / (performance.now() - begin)));
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const { seconds } = await pool.run(slow(trips), ['OUTPUT']);
    delay.disable();
    expect(seconds).toBeGreaterThan(0.5);
    // A run in this thread would hold it for all of its time; a busy machine delays it by less.
    expect(delay.max / 1e9).toBeLessThan(seconds / 3);
  });

  it('runs a lone sample of a fast model in this thread, and everything else in the workers', async () => {
    const pool = await start(spec('add_sub-fp32.onnx'), { workers: 2, threads: 1, alone: 2 });
    const rows = (count: number): TensorMap => ({
      INPUT0: { type: 'float32', dims: [count, 16], data: new Float32Array(16 * count).fill(5) },
      INPUT1: { type: 'float32', dims: [count, 16], data: new Float32Array(16 * count).fill(3) },
    });
    /** What goes to a worker leaves this thread. */
    const stayed = ({ INPUT0 }: TensorMap): boolean => INPUT0.data.length > 0;
    const [one, two, second] = [rows(1), rows(2), rows(1)];
    expect((await pool.run(one, ['OUTPUT0'])).outputs.OUTPUT0.data).toEqual(new Float32Array(16).fill(8));
    expect(stayed(one)).toBe(true);
    expect((await pool.run(two, ['OUTPUT0'])).outputs.OUTPUT0.data).toEqual(new Float32Array(32).fill(8));
    expect(stayed(two)).toBe(false);
    const [first, other] = await Promise.all([
      pool.run(one, ['OUTPUT0', 'OUTPUT1']),
      pool.run(second, ['OUTPUT1']),
    ]);
    expect(stayed(second)).toBe(false);
    expect(first.outputs.OUTPUT1.data).toEqual(new Float32Array(16).fill(2));
    expect(other.outputs.OUTPUT1.data).toEqual(new Float32Array(16).fill(2));
    // Where requests came side by side, more are likely to.
    const after = rows(1);
    await pool.run(after, ['OUTPUT1']);
    expect(stayed(after)).toBe(false);
  });

  it('refuses what a lone sample cannot be, and takes the next one', async () => {
    const pool = await start(spec('add_sub-fp32.onnx'), { workers: 1, threads: 1, alone: 2 });
    const of = (width: number): TensorMap => ({
      INPUT0: { type: 'float32', dims: [1, width], data: new Float32Array(width) },
      INPUT1: { type: 'float32', dims: [1, 16], data: new Float32Array(16) },
    });
    await expect(pool.run(of(15), ['OUTPUT0'])).rejects.toMatchObject({ code: 'invalid-input' });
    expect((await pool.run(of(16), ['OUTPUT0'])).outputs.OUTPUT0.dims).toEqual([1, 16]);
  });

  it('leaves a model to the workers whose time depends on the numbers it is given', async () => {
    const pool = await start(spec('slow.onnx'), { workers: 1, threads: 1, alone: 1 });
    const inputs = slow(1n);
    await pool.run(inputs, ['OUTPUT']);
    expect(inputs.INPUT.data).toHaveLength(0);
  });

  it('answers what a dead worker had with an error and replaces it', async () => {
    const reasons: string[] = [];
    const pool = await start(spec('slow.onnx'), ONE, (reason) => reasons.push(reason));
    const { beside } = pool as unknown as { beside: { thread: Worker }[] };
    const dead = beside[0];
    // Before it begins with the run: onnxruntime ends the process where a thread is ended in the middle of one.
    void dead.thread.terminate();
    const lost = pool.run(slow(200n), ['OUTPUT']);
    await expect(lost).rejects.toMatchObject({ code: 'unavailable' });
    expect(reasons).toHaveLength(1);
    await expect.poll(() => beside[0] !== dead, { timeout: 10_000 }).toBe(true);
    await expect(pool.run(slow(1n), ['OUTPUT'])).resolves.toMatchObject({
      outputs: { OUTPUT: { dims: [1, 16] } },
    });
  });

  it('serves with its first worker while the others start', async () => {
    const pool = await InferenceWorkers.start(spec('slow.onnx'), { workers: 2, threads: 1, alone: 1 });
    pools.push(pool);
    const { beside, alone } = pool as unknown as Record<'beside' | 'alone', { load: number }[]>;
    expect([beside.length, alone.length]).toEqual([0, 1]);
    const runs = [pool.run(slow(1n), ['OUTPUT']), pool.run(slow(1n), ['OUTPUT'])];
    expect(alone[0].load).toBe(2);
    await expect(Promise.all(runs)).resolves.toHaveLength(2);
    await pool.complete;
    expect(beside.map(({ load }) => load)).toEqual([0, 0]);
  });

  it('can be closed while workers start', async () => {
    const lost: string[] = [];
    const pool = await InferenceWorkers.start(
      spec('slow.onnx'),
      { workers: 3, threads: 1, alone: undefined },
      (reason) => lost.push(reason),
    );
    await pool.close();
    await pool.complete;
    const { beside } = pool as unknown as { beside: unknown[] };
    expect(beside).toHaveLength(1);
    expect(lost).toEqual([]);
  });

  it('runs a lone batch on the worker for those, and what comes beside it on the others', async () => {
    const pool = await start(spec('slow.onnx'), { workers: 2, threads: 1, alone: 1 });
    const { beside, alone } = pool as unknown as Record<'beside' | 'alone', { load: number }[]>;
    const loads = (): number[] => [...alone, ...beside].map(({ load }) => load);
    const first = pool.run(slow(50n), ['OUTPUT']);
    expect(loads()).toEqual([1, 0, 0]);
    const others = [pool.run(slow(50n), ['OUTPUT']), pool.run(slow(50n), ['OUTPUT'])];
    expect(loads()).toEqual([1, 1, 1]);
    await Promise.all([first, ...others]);
    const next = pool.run(slow(1n), ['OUTPUT']);
    expect(loads()).toEqual([1, 0, 0]);
    await next;
  });

  it('changes to workers that are faster with batches once such come side by side, and loses nothing', async () => {
    const lost: string[] = [];
    const plan = { workers: 2, threads: 1, alone: 2 };
    const model = spec('', { file: wideLayer(), winograd: true });
    const pool = await InferenceWorkers.start(model, plan, (reason) => lost.push(reason));
    pools.push(pool);
    await pool.complete;
    const batches = { 1: wideBatch(1), 8: wideBatch(8) };
    const run = async (samples: 1 | 8): Promise<Float32Array> => {
      const x = { ...batches[samples], data: batches[samples].data.slice() };
      return (await pool.run({ x }, ['y'])).outputs.y.data as Float32Array;
    };
    const { beside } = pool as unknown as { beside: { info: { winograd: boolean } }[] };
    const alone = { one: await run(1), eight: await run(8) };

    await Promise.all([run(1), run(1), run(1)]);
    await pool.complete;
    expect(beside.map(({ info }) => info.winograd)).toEqual([false, false]);

    let changed = false;
    const clients = Array.from({ length: 2 }, async () => {
      while (!changed) {
        expect(gap(await run(8), alone.eight)).toBeLessThan(1e-4);
        // The cores that the new workers need to start.
        await sleep(20);
      }
    });
    try {
      const areFaster = (): boolean => beside.every(({ info }) => info.winograd);
      await expect.poll(areFaster, { timeout: 25_000 }).toBe(true);
      await pool.complete;
    } finally {
      changed = true;
      await Promise.all(clients);
    }
    const [first, ...others] = await Promise.all([run(8), run(8), run(8)]);
    expect(first).toEqual(alone.eight);
    for (const other of others) {
      expect(other).not.toEqual(alone.eight);
      expect(gap(other, alone.eight)).toBeLessThan(1e-4);
    }
    for (const one of await Promise.all([run(1), run(1), run(1)])) expect(one).toEqual(alone.one);
    expect(lost).toEqual([]);
  });

  it('answers a run that the model refuses with its reason and runs on', async () => {
    const pool = await start(spec('add_sub-fp32.onnx'), ONE);
    const wrong = {
      ...pair(),
      INPUT1: { type: 'float32' as const, dims: [3, 3], data: new Float32Array(9) },
    };
    await expect(pool.run(wrong, ['OUTPUT0'])).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(pool.run(pair(), ['OUTPUT0'])).resolves.toBeDefined();
  });
});
