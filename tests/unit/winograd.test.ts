import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { BatchAxis } from '#ballast/runtime/onnx/batch-axis.js';
import { exposeTensors } from '#ballast/runtime/onnx/expose.js';
import { encodeModel, GraphBuilder, type Attribute, type Dim } from '#ballast/runtime/onnx/graph-builder.js';
import { ModelView } from '#ballast/runtime/onnx/model-view.js';
import { withWinograd } from '#ballast/runtime/onnx/winograd.js';
import { float, gap, run, runAll } from '../fixtures/modulated-runs.js';

const PADDED = { pads: { ints: [1, 1, 1, 1] } };

interface Sketch {
  readonly channels?: readonly [number, number];
  readonly plane?: readonly [Dim, Dim];
  readonly batch?: Dim;
  readonly bias?: boolean;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly kernel?: number;
}

function noise(length: number, seed: number, scale = 1): Float32Array {
  const numbers = new GaussianNoise(seed);
  return Float32Array.from({ length }, () => scale * numbers.next());
}

/** Two convolutions with a Relu between them. */
function network({
  channels: [inputs, outputs] = [128, 160],
  plane = [7, 5],
  batch = 'N',
  bias = true,
  attributes = PADDED,
  kernel = 3,
}: Sketch = {}): Uint8Array {
  const graph = new GraphBuilder('network');
  const layer = (from: string, to: number, of: number, output: string): string => {
    const dims = [to, of, kernel, kernel];
    const weight = noise(to * of * kernel ** 2, to, Math.sqrt(2 / (of * kernel ** 2)));
    const operands = [from, graph.constant({ type: 'float32', dims, data: weight })];
    if (bias) operands.push(graph.constant({ type: 'float32', dims: [to], data: noise(to, to + 1) }));
    return graph.node('Conv', operands, attributes, output);
  };
  const x = graph.input('x', 'float32', [batch, inputs, ...plane]);
  const first = graph.node('Relu', [layer(x, outputs, inputs, 'first')]);
  layer(first, inputs, outputs, 'y');
  graph.output('y', 'float32', [batch, inputs, 'H', 'W']);
  return encodeModel(graph);
}

const pictures = (samples: number, channels: number, height: number, width: number) =>
  float(noise(samples * channels * height * width, 7), [samples, channels, height, width]);

const operators = (model: Uint8Array): string[] =>
  new ModelView(model).graph.nodes.map(({ opType }) => opType);

describe("Winograd's convolutions", () => {
  it('answer as the convolutions do, for planes of all sizes and batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 17 }),
        fc.integer({ min: 1, max: 17 }),
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        async (height, width, samples, bias) => {
          const model = network({ plane: [height, width], bias });
          const changed = withWinograd(model)!;
          expect(operators(changed).filter((name) => name === 'MatMul')).toHaveLength(8);
          const feeds = { x: pictures(samples, 128, height, width) };
          expect(gap(await run(changed, feeds), await run(model, feeds))).toBeLessThan(5e-4);
        },
      ),
      {
        numRuns: 15,
        examples: [
          [7, 7, 4, true],
          [3, 3, 1, false],
          [1, 16, 2, true],
        ],
      },
    );
  });

  it('multiply less: a tile of 4 x 4 has 36 positions, one of 3 x 3 has 25', () => {
    const groups = (plane: readonly [Dim, Dim]): number[] =>
      new ModelView(withWinograd(network({ plane }))!).graph.nodes
        .filter(({ opType }) => opType === 'Conv')
        .map((node) => node.integer('group', 1));
    expect(groups([7, 8])).toEqual([36, 36]);
    expect(groups([3, 9])).toEqual([25, 25]);
    expect(groups([4, 3])).toEqual([30, 30]);
  });

  it('keep what is exposed, under its name', async () => {
    const model = exposeTensors(network(), ['first']);
    const feeds = { x: pictures(3, 128, 7, 5) };
    const [changed, plain] = [await runAll(withWinograd(model)!, feeds), await runAll(model, feeds)];
    expect(Object.keys(changed)).toEqual(['y', 'first']);
    for (const name of ['y', 'first']) {
      expect(changed[name].dims).toEqual(plain[name].dims);
      expect(gap(changed[name].data as Float32Array, plain[name].data as Float32Array)).toBeLessThan(1e-4);
    }
  });

  it('answer each sample of a batch as if it were alone', async () => {
    const model = withWinograd(network())!;
    const size = 128 * 7 * 5;
    const batch = pictures(5, 128, 7, 5);
    // One that would drown the others, if anything of it came to them.
    (batch.data as Float32Array).subarray(0, size).fill(1e30);
    const together = await run(model, { x: batch });
    for (let sample = 1; sample < 5; sample++) {
      const data = (batch.data as Float32Array).slice(sample * size, (sample + 1) * size);
      const alone = await run(model, { x: float(data, [1, 128, 7, 5]) });
      expect(gap(alone, together.subarray(sample * size, (sample + 1) * size))).toBeLessThan(1e-4);
    }
  });

  it.each<[string, Sketch]>([
    ['too few channels', { channels: [128, 96] }],
    ['a stride', { attributes: { ...PADDED, strides: { ints: [2, 2] } } }],
    ['a dilation', { attributes: { pads: { ints: [2, 2, 2, 2] }, dilations: { ints: [2, 2] } } }],
    ['no padding', { attributes: {} }],
    ['padding that the operator finds', { attributes: { auto_pad: { string: 'SAME_UPPER' } } }],
    ['another kernel', { kernel: 5, attributes: { pads: { ints: [2, 2, 2, 2] } } }],
    ['a plane of unknown size', { plane: ['H', 5] }],
    ['a batch of fixed size', { batch: 4, plane: [7, 'W'] }],
  ])('leave layers alone that have %s', (_, sketch) => {
    expect(withWinograd(network(sketch))).toBeUndefined();
  });

  it('leave layers alone whose weights would not fit into 32 MiB', () => {
    const graph = new GraphBuilder('wide');
    let x = graph.input('x', 'float32', ['N', 448, 4, 4]);
    // 27.6 MiB of new weights each for the planes of 4 x 4.
    for (const output of ['a', 'b', 'y']) {
      const weight = {
        type: 'float32',
        dims: [448, 448, 3, 3],
        data: new Float32Array(448 ** 2 * 9),
      } as const;
      x = graph.node('Conv', [x, graph.constant(weight)], PADDED, output);
    }
    graph.output('y', 'float32', ['N', 448, 4, 4]);
    const changed = withWinograd(encodeModel(graph))!;
    expect(operators(changed).filter((name) => name === 'Conv')).toHaveLength(3);
    expect(operators(changed).filter((name) => name === 'MatMul')).toHaveLength(4);
  });
});

describe('the extents that a convolution or a pool leaves', () => {
  it('are those that onnxruntime computes', async () => {
    const small = (min: number, max: number): fc.Arbitrary<number[]> =>
      fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map((pair) => [...pair]);
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          operator: fc.constantFrom('Conv', 'MaxPool', 'AveragePool'),
          plane: small(9, 20),
          kernel: small(1, 3),
          strides: small(1, 3),
          dilations: small(1, 3),
          pad: fc.integer({ min: 0, max: 1 }),
        }),
        async ({ operator, plane, kernel, strides, dilations, pad }) => {
          const pads = kernel.map((size) => (size > 1 ? pad : 0));
          const graph = new GraphBuilder('extents');
          graph.input('x', 'float32', ['N', 2, plane[0], plane[1]]);
          const weight = {
            type: 'float32',
            dims: [3, 2, ...kernel],
            data: noise(6 * kernel[0] * kernel[1], 1),
          } as const;
          const attributes: Record<string, Attribute> = {
            kernel_shape: { ints: kernel },
            strides: { ints: strides },
            pads: { ints: [...pads, ...pads] },
            ...(operator !== 'AveragePool' && { dilations: { ints: dilations } }),
          };
          graph.node(operator, operator === 'Conv' ? ['x', graph.constant(weight)] : ['x'], attributes, 'y');
          graph.output('y', 'float32', ['N', 'C', 'H', 'W']);
          const model = encodeModel(graph);
          const { y } = await runAll(model, { x: pictures(1, 2, plane[0], plane[1]) });
          expect(new BatchAxis(new ModelView(model)).shape('y')).toEqual(['batch', ...y.dims.slice(1)]);
        },
      ),
      { numRuns: 40 },
    );
  });
});
