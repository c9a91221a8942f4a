import { describe, expect, it } from 'vitest';
import { UNOBSERVED, type RequestOptions } from '#ballast/pipeline/batch.js';
import { Batcher } from '#ballast/pipeline/batcher.js';
import { Batch } from '#ballast/pipeline/pipeline.js';
import { ForwardStage } from '#ballast/pipeline/stages/forward.js';
import type { TensorMap } from '#ballast/runtime/tensor.js';

const TENSORS = { logits: 'logits', features: 'features' };
const LIMITS = { maxBatchSize: 8, maxQueueDelayMs: 0, maxQueueSize: 64 };

describe('what a forward pass is asked for', () => {
  /** Runs a request of one sample; returns what was fetched for it, and the batch. */
  async function fetched(options: RequestOptions): Promise<{ fetches: readonly string[]; batch: Batch }> {
    let asked: readonly string[] = [];
    const run = (_inputs: TensorMap, fetches: readonly string[]) => {
      asked = fetches;
      const outputs = fetches.map((name) => [
        name,
        { type: 'float32', dims: [1, 2], data: Float32Array.of(1, 2) },
      ]);
      return Promise.resolve({ outputs: Object.fromEntries(outputs) as TensorMap, seconds: 0 });
    };
    const batcher = new Batcher('m', { run, count: 1 }, LIMITS, UNOBSERVED);
    const beside = (): string[] => ['robust:logits', 'logits'];
    const stage = new ForwardStage(batcher, TENSORS, beside, 1, ({ lame }) => lame === true);
    const inputs: TensorMap = { x: { type: 'float32', dims: [1, 1], data: Float32Array.of(0) } };
    const batch = new Batch({ count: 1, options, inputs });
    await stage.run(batch);
    return { fetches: asked, batch };
  }

  it('is features only where somebody reads them', async () => {
    const read = await fetched({ lame: true });
    expect(read.fetches).toEqual(['logits', 'features', 'robust:logits']);
    expect(read.batch.features).toEqual({ data: Float32Array.of(1, 2), rows: 1, cols: 2 });
    const unread = await fetched({ lame: false });
    expect(unread.fetches).toEqual(['logits', 'robust:logits']);
    expect(unread.batch.features).toBeUndefined();
  });

  it('is each tensor once, and what the request wants of them', async () => {
    const { fetches, batch } = await fetched({ outputs: ['features', 'logits'] });
    expect(fetches).toEqual(['logits', 'features', 'robust:logits']);
    expect(Object.keys(batch.outputs)).toEqual(['features', 'logits']);
    expect(batch.features).toBeUndefined();
  });
});
