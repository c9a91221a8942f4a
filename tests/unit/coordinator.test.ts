import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { stackWeights } from '#ballast/adapt/coordinator.js';
import type { PictureSpace } from '#ballast/runtime/picture-space.js';
import { decoderModel } from '#ballast/adapt/decoder-graph.js';
import {
  countParameters,
  countStatistics,
  decoderParameters,
  planDecoder,
  type DecoderPlan,
} from '#ballast/adapt/decoder-plan.js';
import { foldDecoder } from '#ballast/adapt/decoder-weights.js';
import { readSafetensors } from '#ballast/runtime/safetensors.js';
import { Session } from '#ballast/runtime/session.js';
import type { Tensor } from '#ballast/runtime/tensor.js';

const golden = (path: string): Buffer => readFileSync(new URL(`../golden/${path}`, import.meta.url));
const unclipped: PictureSpace = {
  width: 224,
  height: 224,
  channels: 3,
  layout: 'nchw',
  order: 'rgb',
  low: [-Infinity, -Infinity, -Infinity],
  high: [Infinity, Infinity, Infinity],
};
const authors = planDecoder(768, 224, 224, 3);

/** The prompts `[V·N, C, H, W]` of `z [N, D]` with some parameters: what black pictures become, unclipped. */
async function promptsOf(
  plan: DecoderPlan,
  z: Float32Array,
  sets: readonly Float64Array[],
  statistics: Float64Array | Float32Array,
  space = unclipped,
  epsilon = 1,
): Promise<Tensor> {
  const count = z.length / plan.zSize;
  const session = await Session.open({
    file: decoderModel(plan, space, epsilon),
    expose: [],
    providers: ['cpu'],
    threads: 2,
    spinMicroseconds: 20,
  });
  const { width, height, channels, layout } = space;
  const dims = layout === 'nchw' ? [count, channels, height, width] : [count, height, width, channels];
  const image: Tensor = {
    type: 'float32',
    dims,
    data: new Float32Array(count * channels * height * width),
  };
  const weights = stackWeights(sets.map((set) => foldDecoder(plan, set, statistics)));
  const feeds = { image, z: { type: 'float32' as const, dims: [count, plan.zSize], data: z }, weights };
  const { prompted } = await session.run(feeds, ['prompted']);
  await session.release();
  return prompted;
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, rtol = 1e-4, atol = 1e-5): void {
  expect(actual).toHaveLength(expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (Math.abs(actual[i] - expected[i]) > atol + rtol * Math.abs(expected[i])) {
      expect(actual[i], `entry ${i}`).toBeCloseTo(expected[i], 5);
    }
  }
}

describe("the Coordinator's decoder", () => {
  it("is the authors' own for 224x224 and a z of 768", () => {
    const manifest = JSON.parse(golden('wide/coordinator_decoder/manifest.json').toString()) as {
      params: { name: string; shape: number[] }[];
    };
    expect(decoderParameters(authors)).toEqual(manifest.params);
    expect(countParameters(authors)).toBe(9920);
    expect(countStatistics(authors)).toBe(288);
  });

  it('matches its golden crop and means', async () => {
    const { tensors } = readSafetensors(golden('coordinator/decoder.safetensors'), 'decoder');
    const of = (name: string): Float32Array => tensors.get(name)!.data as Float32Array;
    const statistics = [2, 6, 10, 14].flatMap((layer) => [
      ...of(`buffer.body.${layer}.running_mean`),
      ...of(`buffer.body.${layer}.running_var`),
    ]);
    const parameters = Float64Array.from(of('flat'));
    const prompts = await promptsOf(authors, of('z'), [parameters], Float64Array.from(statistics));
    expect(prompts.dims).toEqual([2, 3, 224, 224]);
    const pixels = prompts.data as Float32Array;
    const crop: number[] = [];
    const means: number[] = [];
    for (let map = 0; map < 6; map++) {
      means.push(
        pixels.subarray(map * 224 * 224, (map + 1) * 224 * 224).reduce((a, b) => a + b, 0) / 224 ** 2,
      );
      for (let row = 100; row < 132; row++) {
        crop.push(...pixels.subarray((map * 224 + row) * 224 + 100, (map * 224 + row) * 224 + 132));
      }
    }
    expectClose(crop, of('expected_crop'));
    expectClose(means, of('expected_channel_mean'));
  });

  it('matches the wide vectors, two sets of weights in one run', async () => {
    const { tensors } = readSafetensors(golden('wide/coordinator_decoder/vectors.safetensors'), 'vectors');
    const of = (name: string): Float32Array => tensors.get(name)!.data as Float32Array;
    const sets = ['theta', 'theta_2'].map((name) => Float64Array.from(of(name)));
    const prompts = await promptsOf(authors, of('z'), sets, of('bn_stats'));
    expect(prompts.dims).toEqual([4, 3, 224, 224]);
    const pixels = prompts.data as Float32Array;
    const one = 3 * 224 * 224;
    expectClose(pixels.subarray(0, 2 * one), of('prompt'));
    expectClose(pixels.subarray(2 * one, 3 * one), of('prompt_2_first'));
  });
});
