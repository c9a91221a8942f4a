import { FLOAT } from './element-types.js';
import type { GraphBuilder } from './graph-builder.js';

/** The inputs [N, C], float32, that scale and shift a layer. */
export interface ScaleAndShift {
  readonly gamma: string;
  readonly beta: string;
}

/** TensorProto.DataType of bool. */
const BOOL = 9;

/**
 * Adds nodes that tell whether scales and shifts change nothing: every gamma is 1 and every beta 0, whatever its
 * sign. NaN is neither, and nothing is what there is to change in an empty batch.
 *
 * A cast to bool is what tells numbers from zero here, since in operator sets below 11 Equal compares no floats, and
 * since a maximum may lose a NaN.
 *
 * @returns the name of the answer, a bool without axes
 */
export function identityCondition(graph: GraphBuilder, layers: readonly ScaleAndShift[]): string {
  const beside = (names: readonly string[]): string => graph.node('Concat', names, { axis: { int: 1 } });
  const nonZero = (name: string): string => graph.node('Cast', [name], { to: { int: BOOL } });
  const one = graph.node('Constant', [], {
    value: { tensor: { type: 'float32', dims: [], data: Float32Array.of(1) } },
  });
  // Differences of floats are zero between equal ones only.
  const scaled = nonZero(graph.node('Sub', [beside(layers.map(({ gamma }) => gamma)), one]));
  const shifted = nonZero(beside(layers.map(({ beta }) => beta)));
  const changed = graph.node('Cast', [graph.node('Or', [scaled, shifted])], { to: { int: FLOAT } });
  const count = graph.node('ReduceSum', [changed], { keepdims: { int: 0 } });
  return graph.node('Not', [nonZero(count)]);
}
