import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { insertModulation } from '#ballast/index.js';
import { halfTensor } from '#ballast/runtime/half-tensor.js';
import { encodeModel, GraphBuilder, type ConstantTensor } from '#ballast/runtime/onnx/graph-builder.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { readSafetensors, type FloatTensor } from '#ballast/runtime/safetensors.js';
import { float, gap, identity, madeUp, run, sets, type Feeds } from '../fixtures/modulated-runs.js';
import { fixture } from '../fixtures/onnx-fixtures.js';

const golden = (path: string): Uint8Array =>
  readFileSync(fileURLToPath(new URL(`../golden/${path}`, import.meta.url)));

function tensorOf({ data, shape }: FloatTensor): Tensor {
  return float(Float32Array.from(data), shape);
}

/** The worst deviation in units of what the golden files tolerate. */
function expectGolden(actual: Float32Array, { data }: FloatTensor): void {
  expect(actual).toHaveLength(data.length);
  const excess = actual.map((value, i) => Math.abs(value - data[i]) / (1e-5 + 1e-4 * Math.abs(data[i])));
  expect(Math.max(...excess)).toBeLessThanOrEqual(1);
}

function repeat(row: ArrayLike<number>, times: number): Tensor {
  const data = Float32Array.from({ length: row.length * times }, (_, i) => row[i % row.length]);
  return float(data, [times, row.length]);
}

function zerosLike({ shape, data }: FloatTensor): Tensor {
  return float(new Float32Array(data.length), shape);
}

describe('the network of the golden vectors', () => {
  const plain = golden('modulation/plain.onnx');
  const { tensors } = readSafetensors(golden('modulation/vectors.safetensors'), 'vectors');
  const vector = (name: string): FloatTensor => tensors.get(name)!;
  const modulated = insertModulation(plain);
  const inputs = (available: string): Feeds => ({
    image: available === 'audio' ? zerosLike(vector('image')) : tensorOf(vector('image')),
    audio: available === 'image' ? zerosLike(vector('audio')) : tensorOf(vector('audio')),
  });

  it('gets the inputs and outputs of the authors’ own, in their order', async () => {
    expect(modulated.layers.map(({ name }) => name)).toEqual([
      'c1',
      'b1',
      'c2',
      'a1',
      'ln',
      'a2',
      'f1',
      'f2',
    ]);
    const [ours, theirs] = await Promise.all(
      [modulated.model, golden('modulation/modulated.onnx')].map((model) => InferenceSession.create(model)),
    );
    expect(ours.inputNames).toEqual(theirs.inputNames);
    expect(ours.inputMetadata).toEqual(theirs.inputMetadata);
    expect(ours.outputMetadata).toEqual(theirs.outputMetadata);
  });

  it.each(['both', 'image', 'audio'])('answers without a set: %s', async (available) => {
    expectGolden(await run(plain, inputs(available)), vector(`expected.plain.${available}`));
    const feeds = { ...inputs(available), ...sets(modulated, 4, identity) };
    expectGolden(await run(modulated.model, feeds), vector(`expected.plain.${available}`));
  });

  it.each(['image', 'audio'])('answers with the set for what is left: %s', async (available) => {
    const set = sets(modulated, 4, (which, layer, _, channel) => {
      return vector(`set.${available}.${modulated.layers[layer].name}.${which}`).data[channel];
    });
    expectGolden(
      await run(modulated.model, { ...inputs(available), ...set }),
      vector(`expected.modulated.${available}`),
    );
  });

  it('answers a batch with other modalities missing in each row', async () => {
    const missing = ['', 'audio', 'image', ''];
    const set = sets(modulated, 4, (which, layer, sample, channel) => {
      if (missing[sample] === '') return identity(which);
      const available = missing[sample] === 'audio' ? 'image' : 'audio';
      return vector(`set.${available}.${modulated.layers[layer].name}.${which}`).data[channel];
    });
    const masked = (name: string): Tensor => {
      const { data, shape } = vector(name);
      const size = data.length / shape[0];
      return float(
        Float32Array.from(data, (value, i) => (missing[Math.floor(i / size)] === name ? 0 : value)),
        shape,
      );
    };
    const feeds = { image: masked('image'), audio: masked('audio'), ...set };
    expectGolden(await run(modulated.model, feeds), vector('expected.mixed'));
  });
});

describe('the second golden network', () => {
  const folder = 'wide/missing_modality';
  const plain = golden(`${folder}/plain.onnx`);
  const { tensors } = readSafetensors(golden(`${folder}/vectors.safetensors`), 'vectors');
  const manifest = JSON.parse(new TextDecoder().decode(golden(`${folder}/manifest.json`))) as {
    layers: { layer: string; offset: number; channels: number }[];
    combos: { available: string[]; key: string }[];
  };
  const vector = (name: string): FloatTensor => tensors.get(name)!;

  it.each(manifest.combos)('answers with $key', async ({ available, key }) => {
    const modulated = insertModulation(plain);
    expect(modulated.layers.map(({ name, channels }) => [name, channels])).toEqual(
      manifest.layers.map(({ layer, channels }) => [`n.${layer}`, channels]),
    );
    const inputs = Object.fromEntries(
      ['image', 'audio'].map((name) => [
        name,
        available.includes(name) ? tensorOf(vector(name)) : zerosLike(vector(name)),
      ]),
    );
    const set = Object.fromEntries(
      manifest.layers.flatMap(({ layer, offset, channels }) =>
        ['gamma', 'beta'].map((which) => [
          `n.${layer}.${which}`,
          repeat(vector(`${which}.${key}`).data.subarray(offset, offset + channels), 4),
        ]),
      ),
    );
    expectGolden(await run(plain, inputs), vector(`logits_plain.${key}`));
    expectGolden(await run(modulated.model, { ...inputs, ...set }), vector(`logits.${key}`));
  });
});

const NETWORKS = [
  'modulation-cnn-torchscript',
  'modulation-cnn-dynamo',
  'modulation-vit-torchscript',
  'modulation-vit-old',
  'modulation-vit-dynamo',
  'modulation-towers-torchscript',
  'modulation-towers-old',
  'modulation-towers-dynamo',
];

describe.each(NETWORKS)('%s', (file) => {
  const plain = fixture(`${file}.onnx`);
  const modulated = insertModulation(plain);

  it.each([1, 3])('gives the bits of the plain network at gamma 1, beta 0: batch %i', async (batch) => {
    const inputs = madeUp(plain, batch);
    const feeds = { ...inputs, ...sets(modulated, batch, identity) };
    for (const level of ['disabled', 'basic', 'all'] as const) {
      expect(await run(modulated.model, feeds, level)).toEqual(await run(plain, inputs, level));
    }
  });

  it('answers each sample of a batch by its own set', async () => {
    const set = (samples: readonly number[]): Feeds =>
      sets(modulated, samples.length, (which, layer, row, channel) => {
        return identity(which) + 0.3 * Math.sin(1.7 * layer + 2.9 * samples[row] + 0.61 * channel);
      });
    const inputs = madeUp(plain, 3);
    const together = await run(modulated.model, { ...inputs, ...set([0, 1, 2]) });
    const width = together.length / 3;
    for (const sample of [0, 1, 2]) {
      const own = Object.fromEntries(
        Object.entries(inputs).map(([name, { type, data, dims }]) => {
          const size = data.length / 3;
          const part = (data as Float32Array).slice(sample * size, (sample + 1) * size);
          return [name, new Tensor(type, part, [1, ...dims.slice(1)])];
        }),
      );
      const alone = await run(modulated.model, { ...own, ...set([sample]) });
      expect(gap(alone, together.subarray(sample * width, (sample + 1) * width))).toBeLessThan(1e-5);
    }
    expect(gap(together, await run(plain, inputs))).toBeGreaterThan(1e-3);
  });
});

describe('the layers that are found', () => {
  const names = (file: string): string[] => insertModulation(fixture(file)).layers.map(({ name }) => name);
  const block = (i: number): string[] =>
    ['norm1', 'attention.qkv', 'attention.out', 'norm2', 'mlp.0', 'mlp.2'].map(
      (name) => `layers.${i}.${name}`,
    );
  const vit = ['patches', ...block(0), ...block(1), 'norm', 'head'];

  it('are those of the network, whatever the exporter made of them', () => {
    for (const exporter of ['torchscript', 'old', 'dynamo']) {
      expect(names(`modulation-vit-${exporter}.onnx`)).toEqual(vit);
    }
    expect(names('modulation-cnn-torchscript.onnx')).toEqual([
      'stem',
      'norm',
      'blocks.0.conv1',
      'blocks.0.bn1',
      'blocks.0.conv2',
      'blocks.0.bn2',
      'blocks.1.conv1',
      'blocks.1.bn1',
      'blocks.1.conv2',
      'blocks.1.bn2',
      'up',
      'head',
    ]);
  });

  it('leave out those whose batch is not the first axis', () => {
    for (const exporter of ['torchscript', 'old', 'dynamo']) {
      const { skipped, layers } = insertModulation(fixture(`modulation-towers-${exporter}.onnx`));
      expect(skipped.map(({ reason }) => reason)).toEqual([
        'the batch is axis 1 of its output, not the first',
        'the batch is merged with another axis in its output',
      ]);
      expect(skipped[1].name).toBe('text.self_attn.out_proj');
      expect(layers).toHaveLength(12);
    }
  });

  it('count channels, parameters and their share', () => {
    const { layers, parameters, share } = insertModulation(fixture('modulation-vit-dynamo.onnx'));
    expect(layers[2]).toEqual({
      name: 'layers.0.attention.qkv',
      operator: 'MatMul',
      channels: 72,
      gamma: 'layers.0.attention.qkv.gamma',
      beta: 'layers.0.attention.qkv.beta',
    });
    expect(parameters).toBe(2 * layers.reduce((sum, { channels }) => sum + channels, 0));
    expect(share).toBeCloseTo(parameters / inspectModel(fixture('modulation-vit-dynamo.onnx')).parameters);
  });

  it('have names of their own where they share a weight', () => {
    expect(names('vit-dynamo.onnx').filter((name) => name.includes('norm'))).toEqual([
      'layers.0.norm1',
      'layers.0.norm1_2',
      'layers.0.norm1_3',
      'layers.0.norm1_4',
      'layers.0.norm1_5',
    ]);
  });

  it('are reported where they are quantised, in a graph inside a node or in a function', () => {
    const { skipped } = insertModulation(fixture('vit-int8-dynamic.onnx'));
    expect(skipped[0]).toMatchObject({ operator: 'ConvInteger', reason: 'it is quantised' });
    expect(() => insertModulation(fixture('slow.onnx'))).toThrow(
      /no layer to modulate.*inside the node Loop/,
    );
    expect(() => insertModulation(fixture('function-head.onnx'))).toThrow(/model-local function "Linear"/);
  });

  it('work in half precision, on float32 sets', async () => {
    const plain = fixture('resnet-fp16-torchscript.onnx');
    const modulated = insertModulation(plain);
    const bits = Uint16Array.from({ length: 6144 }, (_, i) => 0x3000 + (i % 999));
    const image = halfTensor(bits, [2, 3, 32, 32]);
    const feeds = { image, ...sets(modulated, 2, identity) };
    for (const level of ['disabled', 'basic', 'all'] as const) {
      expect(await run(modulated.model, feeds, level)).toEqual(await run(plain, { image }, level));
    }
    const changed = { ...feeds, ...sets(modulated, 2, (which) => (which === 'gamma' ? 0.5 : 0)) };
    expect(await run(modulated.model, changed)).not.toEqual(await run(plain, { image }));
  });
});

describe('what is asked for', () => {
  const plain = fixture('modulation-vit-dynamo.onnx');
  const names = (options: Parameters<typeof insertModulation>[1]): string[] =>
    insertModulation(plain, options).layers.map(({ name }) => name);

  it('is chosen by name, kind, or a function', () => {
    expect(names({ layers: ['head', 'patches'] })).toEqual(['patches', 'head']);
    expect(names({ kinds: ['convolution'] })).toEqual(['patches']);
    expect(names({ kinds: ['normalisation'] })).toHaveLength(5);
    expect(names({ layers: (_, operator) => operator === 'Gemm' })).toEqual(['head']);
    expect(names({ kinds: ['linear'], layers: (name) => name.startsWith('layers.1') })).toHaveLength(4);
  });

  it('is an error where it is not there', () => {
    expect(() => names({ layers: ['hed'] })).toThrow(/no layer "hed".*Did you mean "head"/);
    expect(() => names({ layers: () => false })).toThrow(/None of its 15 layers was chosen/);
    expect(() => names({ kinds: ['linear'], layers: ['patches'] })).toThrow(/None of its 15 layers/);
    const towers = fixture('modulation-towers-dynamo.onnx');
    expect(() => insertModulation(towers, { layers: ['text.self_attn.out_proj'] })).toThrow(
      /"text.self_attn.out_proj" \(Gemm\) cannot be modulated: the batch is merged/,
    );
    expect(() => insertModulation(fixture('add_sub-fp32.onnx'))).toThrow(/no layer to modulate/);
    expect(() => insertModulation(new Uint8Array(3))).toThrow(/not an ONNX model|ends/);
  });
});

describe('graphs made by hand', () => {
  const weight = (dims: readonly number[], of: (i: number) => number): ConstantTensor => ({
    type: 'float32',
    dims,
    data: Float32Array.from({ length: dims.reduce((product, size) => product * size, 1) }, (_, i) => of(i)),
  });
  /** A set for one sample, the same number everywhere. */
  const set = (channels: number, value: number): Tensor =>
    float(new Float32Array(channels).fill(value), [1, channels]);

  it('keep the names of their outputs, and those of others free', async () => {
    const graph = new GraphBuilder('graph');
    graph.input('x', 'float32', ['N', 4]);
    graph.constant(
      weight([4, 3], () => 1),
      'fc.weight',
    );
    graph.node('MatMul', ['x', 'fc.weight'], {}, 'y');
    graph.node('Relu', ['y'], {}, 'fc.gamma');
    graph.node('Neg', ['y'], {}, 'y/plain');
    for (const name of ['y', 'fc.gamma', 'y/plain']) graph.output(name, 'float32', ['N', 3]);
    const { layers, model } = insertModulation(encodeModel(graph));
    expect(layers).toMatchObject([{ name: 'fc_2', channels: 3, gamma: 'fc_2.gamma', beta: 'fc_2.beta' }]);
    const session = await InferenceSession.create(model);
    expect(session.inputNames).toEqual(['x', 'fc_2.gamma', 'fc_2.beta']);
    expect(session.outputNames).toEqual(['y', 'fc.gamma', 'y/plain']);
    const feeds = {
      x: float(Float32Array.of(1, 2, 3, 4), [1, 4]),
      'fc_2.gamma': set(3, -1),
      'fc_2.beta': set(3, 2),
    };
    const results = await session.run(feeds);
    expect([...(results.y.data as Float32Array)]).toEqual([-8, -8, -8]);
    expect([...(results['fc.gamma'].data as Float32Array)]).toEqual([0, 0, 0]);
    expect([...(results['y/plain'].data as Float32Array)]).toEqual([8, 8, 8]);
  });

  it('work where the number of axes is only known when they run', async () => {
    const graph = new GraphBuilder('graph');
    graph.input('x', 'float32', ['N', 4, 2, 3]);
    graph.input('shape', 'int64', [4]);
    graph.constant(
      weight([4], (i) => i + 1),
      'b.weight',
    );
    graph.constant(
      weight([3], (i) => i + 1),
      'l.weight',
    );
    const normal = graph.node('BatchNormalization', [
      graph.node('Reshape', ['x', 'shape']),
      ...Array<string>(4).fill('b.weight'),
    ]);
    graph.node('LayerNormalization', [normal, 'l.weight'], {}, 'y');
    graph.output('y', 'float32', ['N', 'a', 'b', 'c']);
    // Neither what it declares nor the walk tells the shape of the first layer's output.
    const plain = encodeModel(graph);
    const modulated = insertModulation(plain);
    expect(modulated.layers.map(({ name, channels }) => [name, channels])).toEqual([
      ['b', 4],
      ['l', 3],
    ]);
    const inputs = {
      x: float(
        Float32Array.from({ length: 48 }, (_, i) => Math.sin(i * i)),
        [2, 4, 2, 3],
      ),
      shape: new Tensor('int64', BigInt64Array.of(2n, 4n, 2n, 3n), [4]),
    };
    const wanted = await run(plain, inputs, 'disabled');
    const once = sets(modulated, 2, identity);
    expect(await run(modulated.model, { ...inputs, ...once }, 'disabled')).toEqual(wanted);
    const shifted = { ...once, 'l.beta': float(Float32Array.of(0, 1, 2, 3, 4, 5), [2, 3]) };
    const actual = await run(modulated.model, { ...inputs, ...shifted }, 'disabled');
    expect(
      gap(
        actual,
        wanted.map((value, i) => value + (i % 3) + (i < 24 ? 0 : 3)),
      ),
    ).toBeLessThan(1e-5);
  });

  it('take no time for their weights', () => {
    const graph = new GraphBuilder('graph');
    graph.input('x', 'float32', ['N', 5000]);
    const large = weight([5000, 5000], () => 0);
    graph.node('MatMul', ['x', graph.constant(large, 'fc.weight')], {}, 'y');
    graph.output('y', 'float32', ['N', 5000]);
    const model = encodeModel(graph);
    const start = performance.now();
    expect(insertModulation(model).share).toBeCloseTo(10_000 / 25_000_000);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
