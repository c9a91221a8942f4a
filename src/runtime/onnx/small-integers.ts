import type { ModelView } from './model-view.js';
import type { NodeView } from './node-view.js';
import type { Shape } from './shape-rules.js';
import { readTensorHeader } from './tensor-header.js';
import type { ValueInfo } from './value-info.js';
import { BYTES, WireReader } from './wire-reader.js';

const INT64 = 7;

/** More whole numbers than a tensor has axes are no shape. */
const MOST = 16;

/** The whole numbers that a model stores to say shapes, axes and indices, by tensor. */
export function storedIntegers(model: ModelView): Map<string, Shape> {
  const found = new Map<string, Shape>();
  for (const { from, end } of model.graphRanges) {
    const graph = new WireReader(model.bytes, from, end);
    while (graph.next()) {
      if (graph.field !== 5) continue;
      const { name } = readTensorHeader(graph.message());
      const list = readIntegers(graph.message(), graph.message());
      if (list) found.set(name, list);
    }
  }
  return found;
}

/** The whole numbers that a Constant holds; undefined where they are something else. */
export function constantIntegers(node: NodeView): readonly number[] | undefined {
  const list = node.integers('value_ints');
  if (list) return list;
  const one = node.integer('value_int', NaN);
  if (!Number.isNaN(one)) return [one];
  const [header] = node.tensors();
  const [values] = node.tensors();
  return (header as unknown) && !header.sparse ? readIntegers(header.reader, values.reader) : undefined;
}

/** Reads a TensorProto twice: what it is, then its numbers. */
function readIntegers(header: WireReader, values: WireReader): number[] | undefined {
  const { elementType, dims, location } = readTensorHeader(header);
  const count = dims.reduce((product, size) => product * size, 1);
  if (elementType !== INT64 || dims.length > 1 || count > MOST || location !== undefined) return undefined;
  const list: number[] = [];
  while (values.next()) {
    if (values.field === 7) values.integers(list);
    else if (values.field === 9 && values.wireType === BYTES) {
      const { buffer, byteOffset } = values.bytes;
      const raw = new DataView(buffer, byteOffset + values.from, values.end - values.from);
      for (let at = 0; at + 8 <= raw.byteLength; at += 8) list.push(Number(raw.getBigInt64(at, true)));
    }
  }
  return list.length === count ? list : undefined;
}

/** What a model declares of a tensor's axes: numbers, names, undefined where an axis has neither. */
export function declaredShape(
  bytes: Uint8Array,
  { type, dims }: ValueInfo,
): readonly (number | string | undefined)[] | undefined {
  if (!type || !dims) return undefined;
  const names: (string | undefined)[] = [];
  // TypeProto.tensor_type.shape.dim.dim_param
  for (const tensor of fields(new WireReader(bytes, type.from, type.end), 1))
    for (const shape of fields(tensor, 2))
      for (const dim of fields(shape, 1)) {
        let name: string | undefined;
        while (dim.next()) if (dim.field === 2) name = dim.text();
        names.push(name);
      }
  return dims.map((size, axis) => (size >= 0 ? size : names[axis] === '' ? undefined : names[axis]));
}

function* fields(reader: WireReader, number: number): Generator<WireReader> {
  while (reader.next()) if (reader.field === number) yield reader.message();
}
