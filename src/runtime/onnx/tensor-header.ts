import type { WireReader } from './wire-reader.js';

/** What a TensorProto says of its values; the values themselves are never read. */
export interface TensorHeader {
  readonly name: string;
  /** TensorProto.DataType; 0 where the file has none. */
  readonly elementType: number;
  readonly dims: readonly number[];
  /** The file that holds the values, as the model writes it, where they are not in the model. */
  readonly location?: string;
}

/**
 * Reads the header of a TensorProto.
 * @throws BallastError invalid-model where it is damaged
 */
export function readTensorHeader(reader: WireReader): TensorHeader {
  let name = '';
  let elementType = 0;
  let external = false;
  let location: string | undefined;
  const dims: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) reader.integers(dims);
    else if (reader.field === 2) elementType = reader.integer();
    else if (reader.field === 8) name = reader.text();
    else if (reader.field === 13) location = readLocation(reader.message()) ?? location;
    else if (reader.field === 14) external = reader.integer() === 1;
  }
  return { name, elementType, dims, ...(external && { location: location ?? '' }) };
}

/**
 * Reads the header of a SparseTensorProto: the name and type of its values, the shape of the dense tensor.
 * @throws BallastError invalid-model where it is damaged
 */
export function readSparseHeader(reader: WireReader): TensorHeader {
  let values: TensorHeader = { name: '', elementType: 0, dims: [] };
  const dims: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) values = readTensorHeader(reader.message());
    else if (reader.field === 3) reader.integers(dims);
  }
  return { ...values, dims };
}

function readLocation(entry: WireReader): string | undefined {
  let key = '';
  let value: string | undefined;
  while (entry.next()) {
    if (entry.field === 1) key = entry.text();
    else if (entry.field === 2) value = entry.text();
  }
  return key === 'location' ? value : undefined;
}
