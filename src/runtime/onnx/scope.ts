import type { NodeView } from './node-view.js';
import type { TensorHeader } from './tensor-header.js';
import type { ValueInfo } from './value-info.js';

/** A node and which of its outputs is meant. */
export interface Producer {
  readonly node: NodeView;
  readonly index: number;
}

/**
 * Nodes that see each other's tensors by name: the graph of a model, or the body of a model-local function. Within
 * one scope every name is produced once (SSA).
 */
export class Scope {
  readonly nodes: NodeView[] = [];
  /** Names of the tensors that come from outside, initialisers not among them. */
  readonly inputNames: string[] = [];
  readonly outputNames: string[] = [];
  readonly initializers = new Map<string, TensorHeader>();
  /** What is declared of tensors, inputs and outputs included. */
  readonly values = new Map<string, ValueInfo>();
  private readonly producers = new Map<string, Producer>();

  /** Adds a node, in the order of execution. */
  addNode(node: NodeView): void {
    this.nodes.push(node);
    node.outputs.forEach((name, index) => {
      // An output that nobody wants has no name.
      if (name !== '') this.producers.set(name, { node, index });
    });
  }

  /** The node that makes a tensor; undefined for inputs, initialisers and unknown names. */
  producer(name: string): Producer | undefined {
    return this.producers.get(name);
  }

  /** Every name that a node of this scope can refer to. */
  names(): Set<string> {
    return new Set([...this.inputNames, ...this.initializers.keys(), ...this.producers.keys()]);
  }
}
