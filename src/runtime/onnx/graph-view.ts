import { NodeView } from './node-view.js';
import { Scope } from './scope.js';
import { readSparseHeader, readTensorHeader } from './tensor-header.js';
import { readValueInfo, type ValueInfo } from './value-info.js';
import type { WireReader } from './wire-reader.js';

/** Field numbers of GraphProto that surgery writes. */
export const GRAPH_OUTPUT = 12;

/** A GraphProto (that of a model, or one inside a node), and where its parts lie in the file. */
export class GraphView extends Scope {
  readonly inputs: ValueInfo[] = [];
  readonly outputs: ValueInfo[] = [];
  /** Where another output can be written: right after the last one. */
  outputsEnd = 0;

  /**
   * Adds the fields of a GraphProto. A model has one; protobuf allows it in several pieces, which then add up.
   * @throws BallastError invalid-model where the graph is damaged
   */
  read(graph: WireReader): void {
    this.outputsEnd = graph.to;
    while (graph.next()) {
      switch (graph.field) {
        case 1:
          this.addNode(new NodeView(graph));
          break;
        case 5: {
          const tensor = readTensorHeader(graph.message());
          this.initializers.set(tensor.name, tensor);
          break;
        }
        case 11:
          this.inputs.push(this.declare(graph));
          break;
        case GRAPH_OUTPUT:
          this.outputs.push(this.declare(graph));
          this.outputsEnd = graph.end;
          break;
        case 13:
          this.declare(graph);
          break;
        case 15: {
          const tensor = readSparseHeader(graph.message());
          this.initializers.set(tensor.name, tensor);
          break;
        }
      }
    }
    // Before IR version 4 every initialiser was listed as an input as well.
    const fed = this.inputs.filter(({ name }) => !this.initializers.has(name));
    this.inputNames.splice(0, Infinity, ...fed.map(({ name }) => name));
    this.outputNames.splice(0, Infinity, ...this.outputs.map(({ name }) => name));
  }

  /** Inputs that a request has to give: those that are not initialisers. */
  get fedInputs(): ValueInfo[] {
    return this.inputs.filter(({ name }) => !this.initializers.has(name));
  }

  private declare(graph: WireReader): ValueInfo {
    const value = readValueInfo(graph.message());
    this.values.set(value.name, value);
    return value;
  }
}
