import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';

async function run(
  graph: GraphBuilder,
  feeds: Record<string, Tensor>,
  options = {},
): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(encodeModel(graph, options), { logSeverityLevel: 3 });
  return await session.run(feeds);
}

describe('the graph builder', () => {
  it('runs nodes with inputs, constants and attributes of each kind', async () => {
    const graph = new GraphBuilder('attributes');
    graph.input('x', 'float32', ['N', 3]);
    const matrix = graph.constant({ type: 'float32', dims: [2, 3], data: Float32Array.of(1, 0, 0, 0, 1, 1) });
    const product = graph.node('Gemm', ['x', matrix], { alpha: { float: 0.5 }, transB: { int: 1 } });
    const turned = graph.node('Transpose', [product], { perm: { ints: [1, 0] } });
    const bias = graph.node('Constant', [], { value_floats: { floats: [10, 20] } });
    const column = graph.node('Constant', [], {
      value: { tensor: { type: 'int64', dims: [2], data: BigInt64Array.of(2n, 1n) } },
    });
    const sum = graph.node('Add', [turned, graph.node('Reshape', [bias, column])]);
    graph.nodeWithOutputs('Split', [sum], ['first', 'second'], { axis: { int: 0 }, num_outputs: { int: 2 } });
    graph.output('first', 'float32', [1, 'N']);
    graph.output('second', 'float32', [1, 'N']);
    const { first, second } = await run(graph, {
      x: new Tensor('float32', Float32Array.of(2, 4, 6, 8, 0, 2), [2, 3]),
    });
    expect([...(first.data as Float32Array)]).toEqual([11, 14]);
    expect([...(second.data as Float32Array)]).toEqual([25, 21]);
    expect(second.dims).toEqual([1, 2]);
  });

  it('nests graphs, whose nodes read the values around them', async () => {
    const body = new GraphBuilder('body');
    body.input('i', 'int64', []);
    body.input('again', 'bool', []);
    body.input('before', 'float64', []);
    body.node('Mul', ['before', 'factor'], {}, 'after');
    body.node('Identity', ['again'], {}, 'again_next');
    body.output('again_next', 'bool', []);
    body.output('after', 'float64', []);
    const graph = new GraphBuilder('power');
    graph.input('factor', 'float64', []);
    const times = graph.constant({ type: 'int64', dims: [], data: BigInt64Array.of(5n) });
    const one = graph.constant({ type: 'float64', dims: [], data: Float64Array.of(1) }, 'one');
    graph.nodeWithOutputs('Loop', [times, '', one], ['power'], { body: { graph: body } });
    graph.output('power', 'float64', []);
    const { power } = await run(graph, { factor: new Tensor('float64', Float64Array.of(3), []) });
    expect(power.data[0]).toBe(243);
  });

  it('takes operators of other domains and string attributes', async () => {
    const graph = new GraphBuilder('domains');
    graph.input('x', 'float32', [2]);
    graph.nodeWithOutputs('Gelu', ['x'], ['y'], {}, 'com.microsoft');
    graph.node(
      'Pad',
      ['y', graph.constant({ type: 'int64', dims: [2], data: BigInt64Array.of(1n, 0n) })],
      {
        mode: { string: 'edge' },
      },
      'padded',
    );
    graph.output('padded', 'float32', [3]);
    const x = new Tensor('float32', Float32Array.of(0, 10), [2]);
    const { padded } = await run(graph, { x }, { opset: 18, domains: { 'com.microsoft': 1 } });
    expect([...(padded.data as Float32Array)]).toEqual([0, 0, 10]);
  });

  it('stores constants that are views into larger buffers', async () => {
    const graph = new GraphBuilder('views');
    const view = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    graph.node('Identity', [graph.constant({ type: 'float32', dims: [2], data: view })], {}, 'y');
    graph.output('y', 'float32', [2]);
    expect([...((await run(graph, {}))['y'].data as Float32Array)]).toEqual([1, 2]);
  });
});
