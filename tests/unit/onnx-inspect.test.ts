import { describe, expect, it } from 'vitest';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { fixture } from '../fixtures/onnx-fixtures.js';
import { writeModel, type ModelSketch } from '../fixtures/onnx-writer.js';

const N = -1;

describe('a classifier as an exporter wrote it', () => {
  it.each([
    ['resnet-torchscript', 'scores', '/Flatten_output_0', [N, 48]],
    ['resnet-dynamo', 'scores', 'view', [N, 48]],
    ['resnet-fp16-torchscript', 'scores', '/Flatten_output_0', [N, 48]],
    ['resnet-fp16-dynamo', 'scores', 'view', [N, 48]],
    ['resnet-int8-qdq', 'scores', '/Flatten_output_0', [N, 48]],
    ['vit-torchscript', 'scores', '/Gather_1_output_0', [N, 24]],
    ['vit-dynamo', 'scores', 'select', [N, 24]],
    ['vit-external', 'scores', 'select', [N, 24]],
    ['vit-int8-dynamic', 'scores', '/Gather_1_output_0', [N, 24]],
    ['mobilenet-torchscript', '/Flatten_output_0', '/body/body.8/GlobalAveragePool_output_0', [N, 40, N, N]],
    ['mobilenet-dynamo', 'view', 'mean', [N, 40, 1, 1]],
    ['squeezenet-torchscript', 'scores', '/body/body.4/Relu_1_output_0', [N, 32, N, N]],
    ['squeezenet-dynamo', 'scores', 'relu_4', [N, 32, 7, 7]],
  ])('finds the parts of %s', (file, logits, features, dims) => {
    const inspection = inspectModel(fixture(`${file}.onnx`));
    expect(inspection).toMatchObject({
      logits,
      features: { name: features, dims },
      classes: 10,
      warnings: [],
    });
    const type = file.includes('fp16') ? 'float16' : 'float32';
    expect(inspection.inputs).toEqual([{ name: 'image', type, dims: [N, 3, 32, 32] }]);
    expect(inspection.outputs).toEqual([{ name: 'scores', type, dims: [N, 10] }]);
  });

  it('reads what the file says of itself', () => {
    expect(inspectModel(fixture('vit-external.onnx'))).toMatchObject({
      opset: 18,
      irVersion: 10,
      externalData: ['vit-external.onnx.data'],
    });
    const { producer, parameters, externalData } = inspectModel(fixture('resnet-torchscript.onnx'));
    expect(producer).toMatch(/^pytorch \d/);
    expect(parameters).toBe(6586);
    expect(externalData).toEqual([]);
  });

  it('says what to do where the features are integers only', () => {
    const { logits, features, warnings } = inspectModel(fixture('resnet-int8-qoperator.onnx'));
    expect(logits).toBe('scores');
    expect(features).toBeUndefined();
    expect(warnings.join()).toMatch(/integers.*classifier\.features.*features: none/);
  });
});

describe('a graph that could mislead', () => {
  it('prefers the main head to an auxiliary one, and looks through dropout, bias and temperature', () => {
    const inspection = inspectModel(fixture('auxiliary-head.onnx'));
    expect(inspection).toMatchObject({
      logits: 'main',
      features: { name: 'late', dims: [N, 5] },
      classes: 4,
    });
    expect(inspection.warnings).toEqual([expect.stringContaining('"main" was taken, not "aux"')]);
  });

  it('searches behind the logits that it is given', () => {
    const inspection = inspectModel(fixture('auxiliary-head.onnx'), { logits: 'aux' });
    expect(inspection).toMatchObject({ logits: 'aux', features: { name: 'early', dims: [N, 8] } });
  });

  it('sees through model-local functions, and says so where one hides the logits', () => {
    const seen = inspectModel(fixture('function-head.onnx'));
    expect(seen).toMatchObject({
      logits: 'logits',
      features: { name: 'r', dims: [N, 6] },
      classes: 4,
      warnings: [],
    });
    const hidden = inspectModel(fixture('function-hides-logits.onnx'));
    expect(hidden.logits).toBeUndefined();
    expect(hidden.warnings.join()).toContain('inline_local_functions');
  });

  it('calls sums of inputs no classifier', () => {
    for (const file of ['add_sub-int32.onnx', 'add_sub-fp32.onnx']) {
      const inspection = inspectModel(fixture(file));
      expect(inspection.inputs.map(({ name }) => name)).toEqual(['INPUT0', 'INPUT1']);
      expect(inspection).not.toHaveProperty('logits');
      expect(inspection.warnings.join()).toContain('task: raw');
    }
  });

  it('reads a network of [N, H, W, C] with a fixed batch', () => {
    const inspection = inspectModel(fixture('nhwc.onnx'));
    expect(inspection).toMatchObject({ logits: 'biased', features: { name: 'pooled' }, classes: 4 });
    expect(inspection.inputs[0].dims).toEqual([1, 64, 96, 3]);
    expect(inspection.warnings.join()).toMatch(/batch axis of input "input:0" is fixed to 1/);
  });

  const trunk = { op: 'Relu', inputs: ['x'], outputs: ['h'] };
  const base = { inputs: { x: [N, 6] }, outputs: { y: [N, 4] } };
  const weights = { w: { dims: [6, 4] }, wT: { dims: [4, 6] }, b: { dims: [4] } };
  const found = { logits: 'y', features: { name: 'h', dims: [N, 6] }, classes: 4 };
  const cases: [string, Omit<ModelSketch, 'inputs' | 'outputs'> & Partial<ModelSketch>, object][] = [
    [
      'scores that only an ArgMax sees',
      {
        nodes: [
          { op: 'Gemm', inputs: ['h', 'w', 'b'], outputs: ['scores'] },
          { op: 'ArgMax', inputs: ['scores'], outputs: ['y'] },
        ],
        outputs: { y: [N, 1] },
        types: { y: 7 },
      },
      { logits: 'scores', features: found.features, classes: 4 },
    ],
    [
      'a product of data and data behind the head, as in attention',
      {
        nodes: [
          { op: 'MatMul', inputs: ['h', 'hT'], outputs: ['attention'] },
          { op: 'Transpose', inputs: ['h'], outputs: ['hT'] },
          { op: 'MatMul', inputs: ['attention', 'h'], outputs: ['z'] },
          { op: 'Gemm', inputs: ['z', 'wT', 'b'], outputs: ['y'], attributes: { transB: 1 } },
        ],
      },
      { ...found, features: { name: 'z', dims: [N, 6] } },
    ],
    [
      'a head whose factors come in another order, scaled by something computed from shapes',
      {
        nodes: [
          { op: 'Shape', inputs: ['x'], outputs: ['shape'] },
          { op: 'Cast', inputs: ['shape'], outputs: ['size'], attributes: { to: 1 } },
          { op: 'MatMul', inputs: ['h', 'w'], outputs: ['product'] },
          { op: 'Mul', inputs: ['size', 'product'], outputs: ['y'] },
        ],
      },
      found,
    ],
    [
      'a product that onnxruntime made for 4-bit weights',
      {
        nodes: [
          {
            op: 'MatMulNBits',
            domain: 'com.microsoft',
            inputs: ['h', 'w', 'b'],
            outputs: ['y'],
            attributes: { K: 6, N: 4, bits: 4, block_size: 16 },
          },
        ],
      },
      found,
    ],
    [
      'weights that are listed as inputs too, as before IR version 4',
      {
        nodes: [{ op: 'Gemm', inputs: ['h', 'w', 'b'], outputs: ['y'] }],
        inputs: { x: [N, 6], w: [6, 4], b: [4] },
      },
      { ...found, inputs: [{ name: 'x', type: 'float32', dims: [N, 6] }] },
    ],
    [
      'features that are cast to something shorter for the last layer',
      {
        nodes: [
          { op: 'Cast', inputs: ['h'], outputs: ['short'], attributes: { to: 10 } },
          { op: 'Gemm', inputs: ['short', 'w', 'b'], outputs: ['z'] },
          { op: 'Cast', inputs: ['z'], outputs: ['y'], attributes: { to: 1 } },
        ],
      },
      found,
    ],
    [
      'an output that declares nothing',
      { nodes: [{ op: 'Gemm', inputs: ['h', 'w', 'b'], outputs: ['y'] }], outputs: { y: undefined } },
      found,
    ],
  ];
  it.each(cases)('reads %s', (_, sketch, expected) => {
    const model = writeModel({ ...base, weights, ...sketch, nodes: [trunk, ...sketch.nodes] });
    expect(inspectModel(model)).toMatchObject(expected);
  });

  it('finds no features in a trunk without a head', () => {
    const model = writeModel({
      inputs: { x: [N, 3, 8, 8] },
      outputs: { y: [N, 5] },
      weights: { k: { dims: [5, 3, 3, 3] }, k2: { dims: [5, 3, 1, 1] } },
      nodes: [
        { op: 'Conv', inputs: ['x', 'k'], outputs: ['a'] },
        { op: 'Conv', inputs: ['x', 'k2'], outputs: ['b'] },
        { op: 'Add', inputs: ['a', 'b'], outputs: ['block'] },
        { op: 'GlobalAveragePool', inputs: ['block'], outputs: ['pool'] },
        { op: 'Flatten', inputs: ['pool'], outputs: ['y'] },
      ],
    });
    const { features, warnings } = inspectModel(model);
    expect(features).toBeUndefined();
    expect(warnings.join()).toContain('classifier.features');
  });

  it('survives a graph in a circle and a deep nest of graphs', () => {
    const circle = writeModel({
      ...base,
      nodes: [
        { op: 'Add', inputs: ['y', 'x'], outputs: ['z'] },
        { op: 'Identity', inputs: ['z'], outputs: ['y'] },
      ],
    });
    expect(inspectModel(circle).features).toBeUndefined();
    let graph = new Uint8Array();
    for (let depth = 0; depth < 200; depth++) graph = Uint8Array.from([0x0a, ...nodeHolding(graph)]);
    const nest = writeModel({
      ...base,
      nodes: [{ op: 'If', inputs: [], outputs: ['y'], attributes: { b: graph } }],
    });
    expect(() => inspectModel(nest)).toThrow(/more than 100 deep/);
  });
});

/** The length and bytes of a NodeProto that holds a graph. */
function nodeHolding(graph: Uint8Array): number[] {
  const attribute = [0x32, ...length(graph.length), ...graph];
  const node = [0x2a, ...length(attribute.length), ...attribute];
  return [...length(node.length), ...node];
}

function length(size: number): number[] {
  return size < 128 ? [size] : [(size & 0x7f) | 0x80, ...length(size >> 7)];
}
