import { encodeModel, GraphBuilder } from '../runtime/onnx/graph-builder.js';
import type { Precision } from './feature-rows.js';

/** The energy has settled once it moves by at most this share of itself. */
export const SETTLED = 1e-8;
/** The first pass, counted from 0, after which that is judged: before the first there is no energy to compare. */
export const FIRST_JUDGED = 2;

/** TensorProto.DataType of the energy. */
const DOUBLE = 11;

/**
 * An ONNX model of the Gram matrix: inputs `a [M, D]` and `b [N, D]`, output `gram [M, N]` = a bᵀ.
 */
export function gramModel(precision: Precision): Uint8Array {
  const graph = new GraphBuilder('gram');
  graph.input('a', precision, ['M', 'D']);
  graph.input('b', precision, ['N', 'D']);
  graph.node('Gemm', ['a', 'b'], { transB: { int: 1 } }, 'gram');
  graph.output('gram', precision, ['M', 'N']);
  return encodeModel(graph);
}

/**
 * How the graph gets λ W: as a matrix, as the closeness that a Gaussian is taken of, as the neighbours of each sample
 * where λ is 1, or as neighbours and λ.
 */
export type PullForm = 'dense' | 'gaussian' | 'neighbours' | 'weighted-neighbours';

/**
 * An ONNX model of LAME's concave-convex procedure (Boudiaf et al., CVPR 2022): start at
 * Z = softmax(-u), repeat P = λ W Z, Z = softmax(-u + P) until the energy settles.
 *
 * Inputs: `probabilities [N, K]`; by `form`, λ W as `weights [N, N]`, or W as `closeness [N, N]` with `sharpness []`,
 * 1/σ², and `lambda []`, or W as `neighbours [k, N]` int32, with `lambda []` or without; `max_steps []` int64;
 * `noise []` float64, a move of the energy that rounding alone can make.
 *
 * Outputs: `assignments [N, K]`, `energy []` float64, `iterations []` int64.
 */
export function fixedPointModel(form: PullForm, precision: Precision): Uint8Array {
  const graph = new GraphBuilder('lame');
  graph.input('probabilities', precision, ['N', 'K']);
  if (form === 'dense') graph.input('weights', precision, ['N', 'N']);
  else if (form === 'gaussian') addGaussian(graph, precision);
  else graph.input('neighbours', 'int32', ['k', 'N']);
  if (form === 'weighted-neighbours') graph.input('lambda', precision, []);
  graph.input('max_steps', 'int64', []);
  graph.input('noise', 'float64', []);
  const floor = graph.constant(scalar(precision, 1e-10));
  // The unary term with its sign turned: -u = log(q + 1e-10).
  const logits = graph.node('Log', [graph.node('Add', ['probabilities', floor])], {}, 'logits');
  const start = graph.node('Softmax', [logits], { axis: { int: -1 } });
  const infinity = graph.constant(scalar('float64', Infinity));
  const zero = graph.constant(integer(0));
  graph.nodeWithOutputs(
    'Loop',
    ['max_steps', '', start, infinity, zero],
    ['assignments', 'energy', 'iterations'],
    { body: { graph: stepGraph(form, precision) } },
  );
  graph.output('assignments', precision, ['N', 'K']);
  graph.output('energy', 'float64', []);
  graph.output('iterations', 'int64', []);
  return encodeModel(graph);
}

/** λ exp((c - 1) / σ²), as `weights`. */
function addGaussian(graph: GraphBuilder, precision: Precision): void {
  graph.input('closeness', precision, ['N', 'N']);
  graph.input('sharpness', precision, []);
  graph.input('lambda', precision, []);
  const one = graph.constant(scalar(precision, 1));
  const exponents = graph.node('Mul', [graph.node('Sub', ['closeness', one]), 'sharpness']);
  graph.node('Mul', [graph.node('Exp', [exponents]), 'lambda'], {}, 'weights');
}

/** One pass of the loop; it reads `logits`, λ and W from the graph around it. */
function stepGraph(form: PullForm, precision: Precision): GraphBuilder {
  const graph = new GraphBuilder('step');
  graph.input('index', 'int64', []);
  graph.input('go_on', 'bool', []);
  graph.input('assignments_before', precision, ['N', 'K']);
  graph.input('energy_before', 'float64', []);
  graph.input('iterations_before', 'int64', []);
  const one = graph.constant(integer(1));
  const exponent =
    form === 'dense' || form === 'gaussian'
      ? graph.node('Gemm', ['weights', 'assignments_before', 'logits'])
      : addNeighbours(graph, form, precision);
  graph.node('Softmax', [exponent], { axis: { int: -1 } }, 'assignments_next');
  addEnergy(graph, exponent, 'assignments_next', 'energy_next');

  const move = graph.node('Abs', [graph.node('Sub', ['energy_next', 'energy_before'])]);
  const share = graph.constant(scalar('float64', SETTLED));
  const bound = graph.node('Add', [
    graph.node('Mul', [graph.node('Abs', ['energy_before']), share]),
    'noise',
  ]);
  const moved = graph.node('Greater', [move, bound]);
  const early = graph.node('Less', ['index', graph.constant(integer(FIRST_JUDGED))]);
  graph.node('Or', [moved, early], {}, 'go_on_next');
  graph.node('Add', ['index', one], {}, 'iterations_next');

  graph.output('go_on_next', 'bool', []);
  graph.output('assignments_next', precision, ['N', 'K']);
  graph.output('energy_next', 'float64', []);
  graph.output('iterations_next', 'int64', []);
  return graph;
}

/**
 * Adds to each sample's logits the assignments of its neighbours: of all its first, then of all its second, and so on.
 * All at once would make k matrices, which no longer fit into the processor's cache.
 */
function addNeighbours(graph: GraphBuilder, form: PullForm, precision: Precision): string {
  const pulling =
    form === 'neighbours' ? 'assignments_before' : graph.node('Mul', ['assignments_before', 'lambda']);
  const body = new GraphBuilder('neighbour');
  body.input('sum_before', precision, ['N', 'K']);
  body.input('neighbour', 'int32', ['N']);
  body.node('Add', ['sum_before', body.node('Gather', [pulling, 'neighbour'])], {}, 'sum');
  body.output('sum', precision, ['N', 'K']);
  const attributes = { body: { graph: body }, num_scan_inputs: { int: 1 } };
  return graph.node('Scan', ['logits', 'neighbours'], attributes);
}

/**
 * E = Σ (u·Z - P·Z + Z·log Z). With Z = softmax(x), x = -u + P, the logarithm is log Z = x - logsumexp(x), and all
 * that remains of a row is -logsumexp(x) = log max Z - max x: two row maxima instead of three products, a logarithm
 * and a sum of N·K terms that cancel. Rows are added up in float64, so that a move of 1e-8 can be seen.
 */
function addEnergy(graph: GraphBuilder, exponent: string, assignments: string, output: string): void {
  const axes = graph.constant({ type: 'int64', dims: [1], data: BigInt64Array.of(-1n) });
  const rowMaximum = (matrix: string): string => {
    const maximum = graph.node('ReduceMax', [matrix, axes], { keepdims: { int: 0 } });
    return graph.node('Cast', [maximum], { to: { int: DOUBLE } });
  };
  const rows = graph.node('Sub', [graph.node('Log', [rowMaximum(assignments)]), rowMaximum(exponent)]);
  graph.node('ReduceSum', [rows], { keepdims: { int: 0 } }, output);
}

function scalar(type: Precision, value: number) {
  const data = type === 'float64' ? Float64Array.of(value) : Float32Array.of(value);
  return { type, dims: [], data };
}

function integer(value: number) {
  return { type: 'int64' as const, dims: [], data: BigInt64Array.of(BigInt(value)) };
}
