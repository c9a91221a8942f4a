import { InferenceSession, Tensor } from 'onnxruntime-node';
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import { toFloat16, toFloat32 } from '#ballast/runtime/float16.js';
import { halfTensor } from '#ballast/runtime/half-tensor.js';
import { exposeTensors } from '#ballast/runtime/onnx/expose.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { prepareModel } from '#ballast/runtime/onnx/prepare-model.js';
import { expected, fixture, fixturePath, pictures } from '../fixtures/onnx-fixtures.js';
import { writeGraph, writeModel } from '../fixtures/onnx-writer.js';

const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };

/** What an output says, as numbers; of a map over space the mean, as in expected.json. */
function numbers(tensor: Tensor): number[] {
  const data =
    tensor.type === 'float16' ? toFloat32(tensor.data as Uint16Array) : (tensor.data as Float32Array);
  const space = tensor.dims.slice(2).reduce((product, size) => product * size, 1);
  if (space === 1) return [...data];
  return Array.from({ length: data.length / space }, (_, i) => {
    const map = data.subarray(i * space, (i + 1) * space);
    return map.reduce((sum, value) => sum + value, 0) / space;
  });
}

function expectClose(actual: readonly number[], wanted: readonly number[], tolerance: number): void {
  expect(actual).toHaveLength(wanted.length);
  const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
  expect(worst).toBeLessThan(tolerance);
}

describe('the features of a model as onnxruntime computes them', () => {
  it.each(Object.keys(expected))('are those of PyTorch: %s', async (file) => {
    const { logits, features } = inspectModel(fixture(file));
    const names = [logits!, features!.name];
    const { model, sessionOptions } = await prepareModel(fixturePath(file), names);
    const session = await InferenceSession.create(model as Uint8Array, { ...options, ...sessionOptions });
    const half = file.includes('fp16');
    const dims = [2, 3, 32, 32];
    const image = half ? halfTensor(toFloat16(pictures()), dims) : new Tensor('float32', pictures(), dims);
    const results = await session.run({ image }, names);
    const tolerance = half ? 1e-2 : 1e-4;
    expectClose(numbers(results[features!.name]), expected[file].features, tolerance);
    expectClose(numbers(results[logits!]), expected[file].logits, tolerance);
    await session.release();
  });

  it.each(['resnet-int8-qdq.onnx', 'vit-int8-dynamic.onnx'])('come as float from %s', async (file) => {
    const { features } = inspectModel(fixture(file));
    const session = await InferenceSession.create(exposeTensors(fixture(file), [features!.name]), options);
    const results = await session.run({ image: new Tensor('float32', pictures(), [2, 3, 32, 32]) });
    expect(results[features!.name].type).toBe('float32');
    await session.release();
  });
});

describe('exposeTensors', () => {
  it('leaves the bytes alone where there is nothing to expose', () => {
    const model = fixture('resnet-dynamo.onnx');
    expect(exposeTensors(model, [])).toBe(model);
    expect(exposeTensors(model, ['scores'])).toBe(model);
  });

  it('adds outputs after the others, in order, each once, and changes nothing else', () => {
    const model = fixture('resnet-torchscript.onnx');
    const before = Buffer.from(model);
    const names = ['/Flatten_output_0', 'image', 'scores', '/Flatten_output_0'];
    const spliced = exposeTensors(model, names);
    expect(model).toEqual(before);
    expect(inspectModel(spliced).outputs.map(({ name }) => name)).toEqual([
      'scores',
      '/Flatten_output_0',
      'image',
    ]);
    expect(inspectModel(spliced).parameters).toBe(inspectModel(model).parameters);
    expect(spliced.length - model.length).toBeLessThan(100);
  });

  it('keeps fields that it does not know, and graphs in several pieces', () => {
    const sketch = {
      nodes: [
        { op: 'Relu', inputs: ['x'], outputs: ['h'] },
        { op: 'Neg', inputs: ['h'], outputs: ['y'] },
      ],
      inputs: { x: [-1, 4] },
      outputs: { y: [-1, 4] },
    };
    const future = protobuf.Writer.create()
      .uint32((900 << 3) | 2)
      .string('from the future')
      .uint32((901 << 3) | 5)
      .fixed32(7);
    const empty = writeGraph({ nodes: [], inputs: {}, outputs: {} });
    const piece = protobuf.Writer.create()
      .uint32((7 << 3) | 2)
      .bytes(empty);
    const model = Buffer.concat([writeModel(sketch), future.finish(), piece.finish()]);
    const spliced = Buffer.from(exposeTensors(model, ['h']));
    expect(spliced.includes(Buffer.from(future.finish()))).toBe(true);
    expect(inspectModel(spliced).outputs.map(({ name }) => name)).toEqual(['y', 'h']);
  });

  it('names close candidates for a tensor that is not there', () => {
    const model = fixture('resnet-torchscript.onnx');
    expect(() => exposeTensors(model, ['Flatten_output'])).toThrow(
      /no tensor.*Did you mean "\/Flatten_output_0"/,
    );
    expect(() => exposeTensors(model, ['zzzzzzzzzzzzzzzz'])).toThrow(
      /no tensor called "zzzzzzzzzzzzzzzz"\.$/,
    );
    expect(() => exposeTensors(model, [''])).toThrow(/no tensor/);
  });

  it('says where a tensor is that it cannot reach', () => {
    expect(() => exposeTensors(fixture('function-head.onnx'), ['same'])).toThrow(
      /model-local function "Linear"/,
    );
    expect(() => exposeTensors(fixture('slow.onnx'), ['square'])).toThrow(/inside the node Loop/);
  });
});
