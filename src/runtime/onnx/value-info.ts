import type { WireReader } from './wire-reader.js';

/** A ValueInfoProto: what the model declares of a tensor's type and shape. */
export interface ValueInfo {
  readonly name: string;
  /** tensor; other: a sequence, a map, …; unknown: nothing is declared. */
  readonly kind: 'tensor' | 'other' | 'unknown';
  /** TensorProto.DataType; 0 where nothing is declared. */
  readonly elementType: number;
  /** -1 for a symbolic dimension; undefined where not even the rank is declared. */
  readonly dims?: readonly number[];
  /** Where the TypeProto lies in the file, to copy it as it is. */
  readonly type?: { readonly from: number; readonly end: number };
}

/**
 * Reads a ValueInfoProto.
 * @throws BallastError invalid-model where it is damaged
 */
export function readValueInfo(reader: WireReader): ValueInfo {
  let name = '';
  let info: Omit<ValueInfo, 'name'> = { kind: 'unknown', elementType: 0 };
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2)
      info = { ...readType(reader.message()), type: { from: reader.from, end: reader.end } };
  }
  return { name, ...info };
}

function readType(reader: WireReader): Omit<ValueInfo, 'name'> {
  let info: Omit<ValueInfo, 'name'> = { kind: 'unknown', elementType: 0 };
  while (reader.next()) {
    // 6 is the denotation, a note for people; every other field but 1 is a type that is no tensor.
    if (reader.field === 1) info = { kind: 'tensor', ...readTensorType(reader.message()) };
    else if (reader.field !== 6) info = { kind: 'other', elementType: 0 };
  }
  return info;
}

function readTensorType(reader: WireReader): Pick<ValueInfo, 'elementType' | 'dims'> {
  let elementType = 0;
  let dims: number[] | undefined;
  while (reader.next()) {
    if (reader.field === 1) elementType = reader.integer();
    else if (reader.field === 2) dims = readShape(reader.message());
  }
  return { elementType, ...(dims && { dims }) };
}

function readShape(reader: WireReader): number[] {
  const dims: number[] = [];
  while (reader.next()) {
    if (reader.field !== 1) continue;
    const dimension = reader.message();
    let size = -1;
    while (dimension.next()) if (dimension.field === 1) size = dimension.integer();
    dims.push(size < 0 ? -1 : size);
  }
  return dims;
}
