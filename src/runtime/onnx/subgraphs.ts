import { BallastError } from '../../errors.js';
import { GraphView } from './graph-view.js';
import type { NodeView } from './node-view.js';

/** onnxruntime itself stops at 100 levels of graphs within graphs; a deeper model is an attack on the stack. */
const MAX_DEPTH = 100;

/**
 * The graphs inside a node (branches of If, bodies of Loop and Scan), at every depth.
 * @throws BallastError invalid-model where one is damaged or they nest too deep
 */
export function* graphsInside(node: NodeView, depth = 0): Generator<GraphView> {
  for (const reader of node.graphs()) {
    if (depth >= MAX_DEPTH) {
      throw new BallastError('invalid-model', `The ONNX model nests graphs more than ${MAX_DEPTH} deep.`);
    }
    const graph = new GraphView();
    graph.read(reader);
    yield graph;
    for (const inner of graph.nodes) yield* graphsInside(inner, depth + 1);
  }
}
