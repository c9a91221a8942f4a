import { FLOAT } from './element-types.js';
import type { ModelView } from './model-view.js';
import { readTensorHeader } from './tensor-header.js';
import { BYTES, WireReader } from './wire-reader.js';

/** Field numbers of GraphProto and TensorProto. */
const INITIALIZER = 5;
const RAW_DATA = 9;

/**
 * Copies float32 weights out of a model.
 * @param names - initialisers of its graph
 * @returns by name; without those that are something else, or that do not lie in the file as they lie in memory
 */
export function storedFloats(model: ModelView, names: ReadonlySet<string>): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  for (const { from, end } of model.graphRanges) {
    for (const graph = new WireReader(model.bytes, from, end); graph.next();) {
      if (graph.field !== INITIALIZER) continue;
      const { name, elementType, dims, location } = readTensorHeader(graph.message());
      if (!names.has(name) || elementType !== FLOAT || location !== undefined) continue;
      const values = rawFloats(graph.message());
      if (values?.length === dims.reduce((product, size) => product * size, 1)) found.set(name, values);
    }
  }
  return found;
}

function rawFloats(tensor: WireReader): Float32Array | undefined {
  while (tensor.next()) {
    if (tensor.field !== RAW_DATA || tensor.wireType !== BYTES) continue;
    // A copy, since the numbers may begin at any byte of the file.
    const bytes = new Uint8Array(tensor.bytes.subarray(tensor.from, tensor.end));
    return new Float32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
  }
  return undefined;
}
