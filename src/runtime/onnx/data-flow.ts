import type { NodeView } from './node-view.js';
import type { Scope } from './scope.js';
import { graphsInside } from './subgraphs.js';

/** Operators whose output says something of a tensor's shape, not of its values. */
const SHAPE_ONLY: ReadonlySet<string> = new Set(['Shape', 'Size']);

/**
 * Tells data from weights: which tensors of a scope depend on what a request sends. A weight may be an initialiser,
 * but also the result of nodes that compute it (Transpose, DequantizeLinear, …).
 */
export class DataFlow {
  private readonly data: Set<string>;

  /**
   * @param scope - the graph or function
   * @param inputs - the inputs of it that carry data
   */
  constructor(scope: Scope, inputs: Iterable<string>) {
    this.data = new Set(inputs);
    // One pass does for nodes in order of execution, as ONNX wants them; a second one finds that out.
    for (let grown = true; grown;) {
      grown = false;
      for (const node of scope.nodes) grown = this.spread(node) || grown;
    }
  }

  /** Whether a tensor's values depend on the request. */
  isData(name: string): boolean {
    return this.data.has(name);
  }

  private spread(node: NodeView): boolean {
    if (SHAPE_ONLY.has(node.opType)) return false;
    // The scale and zero point that come with dynamic quantisation follow the data, but carry none of it.
    const outputs = node.opType === 'DynamicQuantizeLinear' ? node.outputs.slice(0, 1) : node.outputs;
    if (outputs.every((name) => this.data.has(name)) || !this.takesData(node)) return false;
    for (const name of outputs) this.data.add(name);
    return true;
  }

  private takesData(node: NodeView): boolean {
    if (node.inputs.some((name) => this.data.has(name))) return true;
    // A graph inside a node may use the tensors around it without listing them as inputs.
    for (const { nodes } of graphsInside(node)) {
      if (nodes.some(({ inputs }) => inputs.some((name) => this.data.has(name)))) return true;
    }
    return false;
  }
}
