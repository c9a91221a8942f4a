import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planThreads, type PlanInput } from '#ballast/runtime/thread-plan.js';

const small: PlanInput = {
  cores: 4,
  workers: undefined,
  threads: undefined,
  modelBytes: 8e6,
  onCpu: true,
};

describe('planThreads', () => {
  it('gives a small model on a CPU a worker a core, and one for lone batches', () => {
    expect(planThreads(small)).toEqual({ workers: 4, threads: 1, alone: 4 });
    expect(planThreads({ ...small, cores: 32 })).toEqual({ workers: 8, threads: 4, alone: 32 });
  });

  it('gives one worker to a large model, to a GPU and to a single core', () => {
    const one = { workers: 1, threads: 4, alone: undefined };
    expect(planThreads({ ...small, modelBytes: 350e6 })).toEqual(one);
    expect(planThreads({ ...small, onCpu: false })).toEqual(one);
    expect(planThreads({ ...small, cores: 1 })).toEqual({ ...one, threads: 1 });
  });

  it('does what the user asked for', () => {
    expect(planThreads({ ...small, workers: 3 })).toEqual({ workers: 3, threads: 4, alone: undefined });
    expect(planThreads({ ...small, threads: 2 })).toEqual({ workers: 1, threads: 2, alone: undefined });
  });

  it('never keeps more copies of the weights than fit, and never more threads side by side than cores', () => {
    const cores = fc.integer({ min: 1, max: 256 });
    const modelBytes = fc.integer({ min: 0, max: 2 ** 31 });
    fc.assert(
      fc.property(cores, modelBytes, (cores, modelBytes) => {
        const { workers, threads, alone } = planThreads({ ...small, cores, modelBytes });
        expect(workers * threads).toBeLessThanOrEqual(cores);
        if (alone !== undefined) expect((workers + 2) * modelBytes).toBeLessThanOrEqual(2 ** 28);
      }),
    );
  });
});
