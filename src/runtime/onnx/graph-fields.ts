import type { GraphBuilder } from './graph-builder.js';
import { WireReader } from './wire-reader.js';

const GRAPH_NODE = 1;
const GRAPH_CONSTANT = 5;
const GRAPH_INPUT = 11;

/** Fields of GraphProto. */
export interface GraphFields {
  readonly nodes: Uint8Array;
  readonly constants: Uint8Array;
  readonly inputs: Uint8Array;
}

/** The nodes, constants and inputs that were added to a graph. */
export function fieldsOf(graph: GraphBuilder): GraphFields {
  const encoded = graph.encode();
  const nodes: Uint8Array[] = [];
  const constants: Uint8Array[] = [];
  const inputs: Uint8Array[] = [];
  for (const reader = new WireReader(encoded); reader.next();) {
    const field = encoded.subarray(reader.start, reader.end);
    if (reader.field === GRAPH_NODE) nodes.push(field);
    else if (reader.field === GRAPH_CONSTANT) constants.push(field);
    else if (reader.field === GRAPH_INPUT) inputs.push(field);
  }
  return {
    nodes: Buffer.concat(nodes),
    constants: Buffer.concat(constants),
    inputs: Buffer.concat(inputs),
  };
}
