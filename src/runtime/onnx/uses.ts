import type { Frame } from './frame.js';
import type { GraphView } from './graph-view.js';
import type { NodeView } from './node-view.js';
import { graphsInside } from './subgraphs.js';

/** Who reads the tensors of a graph. */
export class Uses {
  private readonly readers = new Map<string, NodeView[]>();

  constructor(private readonly graph: GraphView) {
    for (const node of graph.nodes) {
      this.add(node, node);
      for (const inner of graphsInside(node)) for (const nested of inner.nodes) this.add(nested, node);
    }
  }

  private add({ inputs }: NodeView, reader: NodeView): void {
    for (const name of inputs) {
      const known = this.readers.get(name);
      if (known) known.push(reader);
      else this.readers.set(name, [reader]);
    }
  }

  /** The node that reads a tensor, where one alone does and it is no output of the graph. */
  only(name: string): NodeView | undefined {
    const readers = this.readers.get(name);
    return readers?.length === 1 && !this.graph.outputNames.includes(name) ? readers[0] : undefined;
  }

  /** The only reader of a tensor, where it joins it with a constant by `operator`. */
  constantOperand(
    name: string,
    operator: string,
    frame: Frame,
  ): { readonly node: NodeView; readonly operand: string } | undefined {
    const node = this.only(name);
    if (node?.opType !== operator || node.domain !== '') return undefined;
    const operand = node.inputs[0] === name ? node.inputs[1] : node.inputs[0];
    return frame.flow.isData(operand) ? undefined : { node, operand };
  }
}
