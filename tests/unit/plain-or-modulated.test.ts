import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { InferenceSession, type Tensor } from 'onnxruntime-node';
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import { exposeTensors, insertModulation, inspectModulation } from '#ballast/index.js';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { ModelView } from '#ballast/runtime/onnx/model-view.js';
import { prepareModel } from '#ballast/runtime/onnx/prepare-model.js';
import { renameTensors } from '#ballast/runtime/onnx/rename-tensors.js';
import { replaceGraph } from '#ballast/runtime/onnx/replace-graph.js';
import { joined } from '#ballast/runtime/onnx/wire-pieces.js';
import { WireReader } from '#ballast/runtime/onnx/wire-reader.js';
import { Splice } from '#ballast/runtime/onnx/splice.js';
import { Session } from '#ballast/runtime/session.js';
import { float, gap, identity, madeUp, run, runAll, sets } from '../fixtures/modulated-runs.js';
import { fixture, fixturePath } from '../fixtures/onnx-fixtures.js';

const LEVELS = ['disabled', 'basic', 'all'] as const;

/** y = x W, which is (-3, 3) for x = (1, 2), and z = max(y, 0). */
function linear(): GraphBuilder {
  const graph = new GraphBuilder('graph');
  graph.input('x', 'float32', ['N', 2]);
  graph.constant({ type: 'float32', dims: [2, 2], data: Float32Array.of(-1, 1, -1, 1) }, 'fc.weight');
  graph.node('MatMul', ['x', 'fc.weight'], {}, 'y');
  graph.node('Relu', ['y'], {}, 'z');
  graph.output('z', 'float32', ['N', 2]);
  return graph;
}

const X = { x: float(Float32Array.of(1, 2), [1, 2]) };

function numbers(results: Record<string, Tensor>): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Array.from(data as Float32Array)]),
  );
}

/** What a model answers for x = (1, 2) where nothing is modulated, and with gamma 2 and beta 1. */
async function both(model: Uint8Array): Promise<Record<string, number[]>[]> {
  const modulated = insertModulation(model);
  expect(modulated.layers.map(({ name }) => name)).toEqual(['fc']);
  const plain = await runAll(modulated.model, { ...X, ...sets(modulated, 1, identity) });
  expect(numbers(plain)).toEqual(numbers(await runAll(model, X)));
  const changed = await runAll(modulated.model, {
    ...X,
    ...sets(modulated, 1, (which) => (which === 'gamma' ? 2 : 1)),
  });
  return [plain, changed].map(numbers);
}

describe('scales and shifts that change nothing', () => {
  const plain = fixture('modulation-cnn-torchscript.onnx');
  const modulated = insertModulation(plain);
  const inputs = madeUp(plain, 3);
  const one = (value: number, at: 'gamma' | 'beta', last = false) =>
    sets(modulated, 3, (which, layer, sample, channel) => {
      const { length } = modulated.layers;
      const here = last
        ? layer === length - 1 && sample === 2 && channel === modulated.layers[layer].channels - 1
        : layer === 0 && sample === 0 && channel === 0;
      return which === at && here ? value : identity(which);
    });

  it.each([1 - 2 ** -24, 1 + 2 ** -23, -1, 0, Infinity, NaN])('do not have a gamma of %d', async (gamma) => {
    for (const last of [false, true]) {
      const actual = await run(modulated.model, { ...inputs, ...one(gamma, 'gamma', last) });
      if (Number.isNaN(gamma)) expect([...actual].some(Number.isNaN)).toBe(true);
      expect(actual).not.toEqual(await run(plain, inputs));
    }
  });

  it('do not have a beta of NaN', async () => {
    const actual = await run(modulated.model, { ...inputs, ...one(NaN, 'beta', true) });
    expect(actual.filter(Number.isNaN).length).toBeGreaterThan(0);
  });

  it('may have a zero of either sign', async () => {
    const negative = sets(modulated, 3, (which) => (which === 'gamma' ? 1 : -0));
    expect(await run(modulated.model, { ...inputs, ...negative })).toEqual(await run(plain, inputs));
  });

  it('are not those of a batch with one modulated sample, which leaves the others close', async () => {
    const set = sets(modulated, 3, (which, layer, sample, channel) =>
      sample === 1 ? identity(which) + 0.3 * Math.sin(1.7 * layer + 0.61 * channel) : identity(which),
    );
    const [actual, wanted] = [await run(modulated.model, { ...inputs, ...set }), await run(plain, inputs)];
    const width = wanted.length / 3;
    const gaps = [0, 1, 2].map((sample) => {
      const [from, to] = [sample * width, (sample + 1) * width];
      return gap(actual.subarray(from, to), wanted.subarray(from, to));
    });
    expect(gaps[0]).toBeLessThan(1e-5);
    expect(gaps[1]).toBeGreaterThan(1e-3);
    expect(gaps[2]).toBeLessThan(1e-5);
  });

  it('may be those of nobody', async () => {
    const model = insertModulation(encodeModel(linear()));
    const { z } = await runAll(model.model, {
      x: float(new Float32Array(), [0, 2]),
      ...sets(model, 0, identity),
    });
    expect(z.dims).toEqual([0, 2]);
  });
});

describe.each(['vit-int8-dynamic', 'resnet-int8-qdq', 'mobilenet-torchscript'])('the network %s', (file) => {
  it('answers with the bits of the plain one', async () => {
    const plain = fixture(`${file}.onnx`);
    const modulated = insertModulation(plain);
    expect(modulated.model.length).toBeLessThan(2.5 * plain.length);
    const inputs = madeUp(plain, 2);
    for (const level of LEVELS) {
      const feeds = { ...inputs, ...sets(modulated, 2, identity) };
      expect(await run(modulated.model, feeds, level)).toEqual(await run(plain, inputs, level));
    }
  });
});

describe('a network with exposed tensors', () => {
  it.each(['modulation-cnn-torchscript', 'modulation-towers-dynamo', 'resnet-torchscript'])(
    'has their bits too: %s',
    async (file) => {
      const plain = fixture(`${file}.onnx`);
      const { logits, features } = inspectModel(plain);
      const expose = [features!.name, logits!];
      const modulated = insertModulation(plain, { expose });
      const exposed = exposeTensors(plain, expose);
      const inputs = madeUp(plain, 2);
      for (const level of LEVELS) {
        const feeds = { ...inputs, ...sets(modulated, 2, identity) };
        const [actual, wanted] = [
          await runAll(modulated.model, feeds, level),
          await runAll(exposed, inputs, level),
        ];
        expect(Object.keys(actual)).toEqual(Object.keys(wanted));
        for (const name of Object.keys(wanted)) expect(actual[name].data).toEqual(wanted[name].data);
      }
    },
  );

  it('puts them out modulated', async () => {
    const modulated = insertModulation(encodeModel(linear()), { expose: ['y', 'x'] });
    const set = sets(modulated, 1, (which) => (which === 'gamma' ? 2 : 1));
    const results = await runAll(modulated.model, { ...X, ...set });
    expect(numbers(results)).toEqual({ z: [0, 7], y: [-5, 7], x: [1, 2] });
  });

  it('has the same layers whatever is exposed', () => {
    const plain = fixture('modulation-vit-torchscript.onnx');
    const { layers } = inspectModulation(plain);
    const expose = new ModelView(plain).graph.nodes.flatMap(({ outputs }) => outputs);
    expect(insertModulation(plain, { expose }).layers).toEqual(layers);
    expect(() => insertModulation(plain, { expose: ['nowhere'] })).toThrow(/no tensor called "nowhere"/);
  });
});

describe('graphs made by hand', () => {
  it('answer with what other nodes read', async () => {
    const graph = linear();
    graph.node('Neg', ['z'], {}, 'w');
    for (const name of ['y', 'w']) graph.output(name, 'float32', ['N', 2]);
    expect(await both(encodeModel(graph))).toEqual([
      { z: [0, 3], y: [-3, 3], w: [-0, -3] },
      { z: [0, 7], y: [-5, 7], w: [-0, -7] },
    ]);
  });

  it('answer with what graphs inside nodes read, at every depth', async () => {
    const graph = linear();
    const negated = new GraphBuilder('negated');
    negated.output(negated.node('Neg', ['z']), 'float32', ['N', 2]);
    const doubled = new GraphBuilder('doubled');
    doubled.output(doubled.node('Add', ['z', 'z']), 'float32', ['N', 2]);
    const outer = new GraphBuilder('outer');
    const branches = { then_branch: { graph: negated }, else_branch: { graph: doubled } };
    outer.output(outer.node('If', ['positive'], branches), 'float32', ['N', 2]);
    const zero = { tensor: { type: 'float32', dims: [], data: Float32Array.of(0) } } as const;
    const sum = graph.node('ReduceSum', ['x'], { keepdims: { int: 0 } });
    graph.node('Greater', [sum, graph.node('Constant', [], { value: zero })], {}, 'positive');
    graph.node(
      'If',
      ['positive'],
      { then_branch: { graph: outer }, else_branch: { graph: doubled } },
      'nested',
    );
    graph.output('nested', 'float32', ['N', 2]);
    expect(await both(encodeModel(graph))).toEqual([
      { z: [0, 3], nested: [-0, -3] },
      { z: [0, 7], nested: [-0, -7] },
    ]);
  });

  it('pass on an input and a constant that are outputs', async () => {
    const graph = linear();
    graph.output('x', 'float32', ['N', 2]);
    graph.output('fc.weight', 'float32', [2, 2]);
    const rest = { x: [1, 2], 'fc.weight': [-1, 1, -1, 1] };
    const wanted = [
      { z: [0, 3], ...rest },
      { z: [0, 7], ...rest },
    ];
    expect(await both(encodeModel(graph))).toEqual(wanted);
    graph.input('fc.weight', 'float32', [2, 2]);
    expect(await both(ofVersion(encodeModel(graph), 3))).toEqual(wanted);
  });

  it('keep a weight around the networks where an input may replace it', async () => {
    const graph = linear();
    graph.input('fc.weight', 'float32', [2, 2]);
    const model = encodeModel(graph);
    expect(await both(model)).toEqual([{ z: [0, 3] }, { z: [0, 7] }]);
    const { graph: outer } = new ModelView(insertModulation(model).model);
    expect([...outer.initializers.keys()]).toEqual(['fc.weight']);
    expect(outer.inputs.map(({ name }) => name)).toEqual(['x', 'fc.weight', 'fc.gamma', 'fc.beta']);
    // In version 3 it had to be listed, and was a constant all the same.
    const old = ofVersion(model, 3);
    expect(await both(old)).toEqual([{ z: [0, 3] }, { z: [0, 7] }]);
    const { graph: inner } = new ModelView(insertModulation(old).model);
    expect([...inner.initializers.keys()]).toEqual([]);
    expect(inner.inputs.map(({ name }) => name)).toEqual(['x', 'fc.gamma', 'fc.beta']);
  });

  it('hold large weights once, whatever else is called as their function', async () => {
    const graph = new GraphBuilder('graph');
    const data = Float32Array.from({ length: 256 * 256 }, (_, i) => Math.sin(i));
    graph.input('x', 'float32', ['N', 256]);
    graph.constant({ type: 'float32', dims: [256, 256], data }, 'fc.weight');
    graph.node('MatMul', ['x', 'fc.weight'], {}, 'y');
    graph.output('y', 'float32', ['N', 256]);
    const model = encodeModel(graph, { domains: { ballast: 1 } });
    const modulated = insertModulation(model);
    expect(modulated.model.length).toBeLessThan(model.length + 4096);
    const x = { x: float(data.slice(0, 512), [2, 256]) };
    const [wanted, negative] = [await run(model, x), sets(modulated, 2, (which) => -identity(which))];
    expect(await run(modulated.model, { ...x, ...sets(modulated, 2, identity) })).toEqual(wanted);
    expect(
      gap(
        await run(modulated.model, { ...x, ...negative }),
        wanted.map((value) => -value),
      ),
    ).toBeLessThan(1e-4);
    // As an output it is needed around the networks as well.
    graph.output('fc.weight', 'float32', [256, 256]);
    const both = insertModulation(encodeModel(graph));
    const results = await runAll(both.model, { ...x, ...sets(both, 2, identity) });
    expect(results['fc.weight'].data).toEqual(data);
    expect(results.y.data).toEqual(wanted);
  });

  it('may have sparse weights', async () => {
    const graph = new GraphBuilder('graph');
    graph.input('x', 'float32', ['N', 2]);
    graph.node('MatMul', ['x', 'fc.weight'], {}, 'z');
    graph.output('z', 'float32', ['N', 2]);
    const view = new ModelView(encodeModel(graph));
    const splice = new Splice(view);
    const tensor = (name: string, type: number, dims: number[], data: ArrayBufferView): Uint8Array => {
      const writer = protobuf.Writer.create();
      for (const dim of dims) writer.uint32(1 << 3).int64(dim);
      writer.uint32(2 << 3).int32(type);
      writer.uint32((8 << 3) | 2).string(name);
      return writer
        .uint32((9 << 3) | 2)
        .bytes(new Uint8Array(data.buffer))
        .finish();
    };
    const sparse = protobuf.Writer.create()
      .uint32((1 << 3) | 2)
      .bytes(tensor('fc.weight', 1, [3], Float32Array.of(-1, 1, 3)))
      .uint32((2 << 3) | 2)
      .bytes(tensor('', 7, [3], BigInt64Array.of(0n, 1n, 3n)))
      .uint32(3 << 3)
      .int64(2)
      .uint32(3 << 3)
      .int64(2)
      .finish();
    const field = protobuf.Writer.create()
      .uint32((15 << 3) | 2)
      .bytes(sparse)
      .finish();
    splice.insert(view.graphRanges[0].end, field);
    expect(await both(splice.finish())).toEqual([{ z: [-1, 7] }, { z: [-1, 15] }]);
  });

  it.each([7, 9, 10, 11, 13, 18, 21])('work in operator set %i', async (opset) => {
    expect(await both(encodeModel(linear(), { opset }))).toEqual([{ z: [0, 3] }, { z: [0, 7] }]);
  });

  it('have no network to choose where all they put out is put in', async () => {
    const graph = new GraphBuilder('graph');
    graph.input('x', 'float32', ['N', 2]);
    graph.constant({ type: 'float32', dims: [2, 2], data: new Float32Array(4) }, 'fc.weight');
    graph.node('MatMul', ['x', 'fc.weight'], {}, 'y');
    graph.output('x', 'float32', ['N', 2]);
    expect(await both(encodeModel(graph))).toEqual([{ x: [1, 2] }, { x: [1, 2] }]);
  });

  it('are refused where they would be over 2 GiB', () => {
    const mebibyte = new Uint8Array(2 ** 20);
    const view = new ModelView(encodeModel(linear()));
    expect(() => replaceGraph(view, Array<Uint8Array>(2048).fill(mebibyte), 4)).toThrow(
      /would have 21474\d+ bytes.*external data/,
    );
  });

  it('keep names that a graph inside a node gives to tensors of its own', () => {
    const own = new GraphBuilder('own');
    own.output(own.node('Neg', [own.node('Abs', ['y'], {}, 'z')]), 'float32', ['N', 2]);
    const graph = new GraphBuilder('graph');
    graph.node('If', ['z'], { then_branch: { graph: own } }, 'nested');
    const bytes = graph.encode();
    const reader = new WireReader(bytes);
    reader.next();
    const names = new Map([
      ['y', 'outer y'],
      ['z', 'outer z'],
    ]);
    const text = Buffer.from(joined(renameTensors(reader, names))).toString('latin1');
    expect(text.match(/outer y/g)).toHaveLength(1);
    expect(text.match(/outer z/g)).toHaveLength(1);
  });
});

/** The model as one of another version of the format. */
function ofVersion(model: Uint8Array, version: number): Uint8Array {
  expect([...model.subarray(0, 2)]).toEqual([8, 8]);
  return Uint8Array.of(8, version, ...model.subarray(2));
}

describe('weights in other files', () => {
  const file = fixturePath('vit-external.onnx');
  const plain = fixture('vit-external.onnx');
  const modulated = insertModulation(plain);
  const inputs = madeUp(plain, 2);
  const feeds = { ...inputs, ...sets(modulated, 2, identity) };

  it('stay there, and are found from a path', async () => {
    expect(modulated.layers).toHaveLength(15);
    expect(inspectModel(modulated.model).externalData).toEqual(inspectModel(plain).externalData);
    expect(modulated.model.length).toBeLessThan(2 * plain.length + 16_384);
    const folder = await mkdtemp(join(tmpdir(), 'ballast-modulated-'));
    try {
      await copyFile(`${file}.data`, join(folder, 'vit-external.onnx.data'));
      await writeFile(join(folder, 'modulated.onnx'), modulated.model);
      const session = await InferenceSession.create(join(folder, 'modulated.onnx'), { intraOpNumThreads: 1 });
      const { scores } = await session.run(feeds);
      expect(scores.data).toEqual(await run(fixture('vit-dynamo.onnx'), inputs));
      await session.release();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('are found where the changed model has no path', async () => {
    const modulate = modulated.layers.map(({ name }) => name);
    const { features } = inspectModel(plain);
    const { model, sessionOptions } = await prepareModel(file, [features!.name], modulate);
    expect(model).toBeInstanceOf(Uint8Array);
    expect(sessionOptions.extra?.session).toEqual({
      model_external_initializers_file_folder_path: dirname(file),
    });
    const open = (layers: readonly string[]): Promise<Session> =>
      Session.open({
        ...{ file, expose: [features!.name], modulate: layers },
        ...{ providers: ['cpu'], threads: 1, spinMicroseconds: 20 },
      });
    const [own, changed] = await Promise.all([open([]), open(modulate)]);
    const asTensors = (tensors: typeof feeds) =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, { data, dims }]) => [
          name,
          { type: 'float32' as const, dims, data: data as Float32Array },
        ]),
      );
    const fetches = ['scores', features!.name];
    expect(await changed.run(asTensors(feeds), fetches)).toEqual(await own.run(asTensors(inputs), fetches));
    await Promise.all([own.release(), changed.release()]);
  });
});
