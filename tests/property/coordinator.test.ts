import fc from 'fast-check';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Coordinator, coordinatorParts } from '#ballast/adapt/coordinator.js';
import type { PictureSpace } from '#ballast/runtime/picture-space.js';
import { countParameters, countStatistics, initialParameters } from '#ballast/adapt/decoder-plan.js';
import { foldDecoder } from '#ballast/adapt/decoder-weights.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import type { Tensor } from '#ballast/runtime/tensor.js';
import { plainPrompt } from '../fixtures/plain-decoder.js';

const RUNS = { numRuns: 25 };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ballast-coordinator-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A picture space, the size of z, and all the rest from a seed. */
const cases = fc.record({
  height: fc.integer({ min: 8, max: 37 }),
  width: fc.integer({ min: 8, max: 37 }),
  zSize: fc.integer({ min: 1, max: 40 }),
  layout: fc.constantFrom('nchw' as const, 'nhwc' as const),
  order: fc.constantFrom('rgb' as const, 'bgr' as const, 'grey' as const),
  epsilon: fc.constantFrom(1, 0.3),
  seed: fc.nat(),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function spaceOf({ height, width, layout, order }: Case): PictureSpace {
  const channels = order === 'grey' ? 1 : 3;
  const [low, high] = [
    [-2, -1.5, -1],
    [2, 2.5, 0.5],
  ].map((bounds) => bounds.slice(0, channels));
  return { height, width, channels, layout, order, low, high };
}

/** An encoder of pictures of any size: projections of their mean colours. */
async function writeEncoder(zSize: number): Promise<string> {
  const graph = new GraphBuilder('encoder');
  const pixels = graph.input('pixels', 'float32', ['N', 3, 'H', 'W']);
  const weights = graph.constant({
    type: 'float32',
    dims: [3, zSize],
    data: Float32Array.from({ length: 3 * zSize }, (_, i) => 3 * Math.sin(1 + 7 * i)),
  });
  const means = graph.node('Flatten', [graph.node('GlobalAveragePool', [pixels])]);
  graph.node('MatMul', [means, weights], {}, 'z');
  graph.output('z', 'float32', ['N', zSize]);
  const file = join(folder, `encoder-${zSize}.onnx`);
  await writeFile(file, encodeModel(graph));
  return file;
}

/** Opens the Coordinator of a case, with pictures and parameters. */
async function withCoordinator(
  one: Case,
  count: number,
  check: (opened: {
    coordinator: Coordinator;
    space: PictureSpace;
    images: Tensor;
    z: Tensor;
    parametersOf: (set: number) => Float64Array;
    statistics: Float64Array;
  }) => Promise<void>,
): Promise<void> {
  const space = spaceOf(one);
  const file = await writeEncoder(one.zSize);
  const parts = await coordinatorParts({ file, space, epsilon: one.epsilon });
  const coordinator = await Coordinator.open(parts, { providers: ['cpu'], threads: 1, spinMicroseconds: 0 });
  try {
    const noise = new GaussianNoise(one.seed, 1);
    const images = imagesOf(space, count, one.seed);
    // The shifts and biases are not 0 here, nor the last matrix small.
    const parametersOf = (set: number): Float64Array =>
      initialParameters(parts.plan, new GaussianNoise(one.seed, 2, set), 1).map(
        (value) => value + 0.1 * noise.next(),
      );
    const statistics = Float64Array.from(
      { length: countStatistics(parts.plan) },
      () => 0.2 + Math.abs(noise.next()),
    );
    const z = await coordinator.encode(images);
    await check({ coordinator, space, images, z, parametersOf, statistics });
  } finally {
    await coordinator.release();
  }
}

/** Pictures of noise between the space's bounds. */
function imagesOf(space: PictureSpace, count: number, seed: number): Tensor {
  const { height, width, channels, layout, low, high } = space;
  const noise = new GaussianNoise(seed, 3);
  const data = Float32Array.from({ length: count * height * width * channels }, (_, i) => {
    const channel = layout === 'nchw' ? Math.floor(i / (height * width)) % channels : i % channels;
    const share = 1 / (1 + Math.exp(-noise.next()));
    return low[channel] + (high[channel] - low[channel]) * share;
  });
  const shape = layout === 'nchw' ? [channels, height, width] : [height, width, channels];
  return { type: 'float32', dims: [count, ...shape], data };
}

const floatsOf = ({ data }: Tensor): Float32Array => data as Float32Array;

/** Picture `row` of some, as a tensor of its own. */
function rowOf(tensor: Tensor, row: number): Tensor {
  const size = tensor.data.length / tensor.dims[0];
  const data = floatsOf(tensor).slice(row * size, (row + 1) * size);
  return { ...tensor, dims: [1, ...tensor.dims.slice(1)], data };
}

function greatestDifference(one: ArrayLike<number>, other: ArrayLike<number>): number {
  expect(one).toHaveLength(other.length);
  let greatest = 0;
  for (let i = 0; i < one.length; i++) greatest = Math.max(greatest, Math.abs(one[i] - other[i]));
  return greatest;
}

describe('a Coordinator', () => {
  it('answers pictures of the same shape, between black and white', async () => {
    await fc.assert(
      fc.asyncProperty(cases, (one) =>
        withCoordinator(one, 2, async ({ coordinator, space, images, z, parametersOf, statistics }) => {
          const loud = parametersOf(0).map((value) => 10 * value);
          const { dims, data } = await coordinator.prompt(images, z, [
            foldDecoder(coordinator.plan, loud, statistics),
          ]);
          expect(dims).toEqual(images.dims);
          const { layout, channels, width, height, low, high } = space;
          let outside = 0;
          (data as Float32Array).forEach((value, i) => {
            const channel = layout === 'nchw' ? Math.floor(i / (height * width)) % channels : i % channels;
            if (!(value >= low[channel] && value <= high[channel])) outside++;
          });
          expect(outside).toBe(0);
        }),
      ),
      RUNS,
    );
  });

  it('draws several sets at once as it does one by one, and each picture as alone', async () => {
    await fc.assert(
      fc.asyncProperty(cases, (one) =>
        withCoordinator(one, 3, async ({ coordinator, images, z, parametersOf, statistics }) => {
          const sets = [0, 1, 2].map((set) => foldDecoder(coordinator.plan, parametersOf(set), statistics));
          const together = await coordinator.prompt(images, z, sets);
          expect(together.dims).toEqual([9, ...images.dims.slice(1)]);
          for (const [v, set] of sets.entries()) {
            for (let row = 0; row < 3; row++) {
              const image = rowOf(images, row);
              const alone = await coordinator.prompt(image, await coordinator.encode(image), [set]);
              const among = rowOf(together, 3 * v + row);
              expect(greatestDifference(floatsOf(alone), floatsOf(among))).toBeLessThan(1e-5);
            }
          }
        }),
      ),
      RUNS,
    );
  });

  it('agrees with its layers, computed one by one in float64', async () => {
    await fc.assert(
      fc.asyncProperty(cases, (one) =>
        withCoordinator(one, 2, async ({ coordinator, space, images, z, parametersOf, statistics }) => {
          const { plan } = coordinator;
          const parameters = parametersOf(0);
          expect(parameters).toHaveLength(countParameters(plan));
          const prompted = await coordinator.prompt(images, z, [foldDecoder(plan, parameters, statistics)]);
          for (let row = 0; row < 2; row++) {
            const [image, code] = [floatsOf(rowOf(images, row)), floatsOf(rowOf(z, row))];
            const plain = plainPrompt(plan, space, one.epsilon, parameters, statistics, image, code);
            expect(greatestDifference(floatsOf(rowOf(prompted, row)), plain.prompted)).toBeLessThan(1e-4);
          }
        }),
      ),
      RUNS,
    );
  });

  it('measures what makes every normalised channel one of mean 0 and variance 1', async () => {
    await fc.assert(
      fc.asyncProperty(cases, (one) =>
        withCoordinator(one, 4, async ({ coordinator, space, images, z, parametersOf }) => {
          const { plan } = coordinator;
          const parameters = withoutScales(plan.triggerSize, plan.blocks, parametersOf(0));
          const statistics = await coordinator.measure(images, z, parameters);
          expect(statistics).toHaveLength(countStatistics(plan));
          const results = [0, 1, 2, 3].map((row) => {
            const [image, code] = [floatsOf(rowOf(images, row)), floatsOf(rowOf(z, row))];
            return plainPrompt(plan, space, 1, parameters, statistics, image, code).preActivations;
          });
          let measured = 0;
          for (const [block, { outputs }] of plan.blocks.entries()) {
            for (let o = 0; o < outputs; o++) {
              const values = results.flatMap((blocks) => blocks[block][o]);
              const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
              const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
              // 1e-5 is added to what was measured before its root is taken.
              const wanted = statistics[measured + outputs + o] / (statistics[measured + outputs + o] + 1e-5);
              expect(Math.abs(mean)).toBeLessThan(1e-3);
              expect(Math.abs(variance - wanted)).toBeLessThan(1e-3);
            }
            measured += 2 * outputs;
          }
        }),
      ),
      RUNS,
    );
  });
});

/** The parameters with scale 1 and shift 0 in every normalisation. */
function withoutScales(
  triggerSize: number,
  blocks: readonly { readonly middle: number; readonly outputs: number }[],
  parameters: Float64Array,
): Float64Array {
  const changed = parameters.slice();
  let offset = triggerSize;
  for (const { middle, outputs } of blocks) {
    offset += 5 * middle + middle * outputs;
    changed.fill(1, offset, offset + outputs).fill(0, offset + outputs, offset + 2 * outputs);
    offset += 2 * outputs;
  }
  return changed;
}
