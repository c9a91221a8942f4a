import type { TensorData, TensorType } from '../../runtime/tensor.js';

/** Element types as the Open Inference Protocol names them. */
export type Datatype =
  | 'BOOL'
  | 'UINT8'
  | 'UINT16'
  | 'UINT32'
  | 'UINT64'
  | 'INT8'
  | 'INT16'
  | 'INT32'
  | 'INT64'
  | 'FP16'
  | 'FP32'
  | 'FP64'
  | 'BYTES';

type NumberArray = Exclude<TensorData, string[]>;

interface NumberArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): NumberArray;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumberArray;
}

/** A datatype: its name in tensors, and how its elements are stored. */
export interface DatatypeInfo {
  readonly name: Datatype;
  readonly type: TensorType;
  /** Undefined for BYTES, whose elements have no common size. */
  readonly TypedArray: NumberArrayConstructor | undefined;
  /** Least and greatest value of an integer type. */
  readonly range?: readonly [bigint, bigint];
}

function integer(
  name: Datatype,
  type: TensorType,
  TypedArray: NumberArrayConstructor,
  signed: boolean,
): DatatypeInfo {
  const bits = BigInt(TypedArray.BYTES_PER_ELEMENT * 8);
  const range = signed
    ? ([-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] as const)
    : ([0n, (1n << bits) - 1n] as const);
  return { name, type, TypedArray, range };
}

const table: readonly DatatypeInfo[] = [
  { name: 'BOOL', type: 'bool', TypedArray: Uint8Array },
  integer('UINT8', 'uint8', Uint8Array, false),
  integer('UINT16', 'uint16', Uint16Array, false),
  integer('UINT32', 'uint32', Uint32Array, false),
  integer('UINT64', 'uint64', BigUint64Array, false),
  integer('INT8', 'int8', Int8Array, true),
  integer('INT16', 'int16', Int16Array, true),
  integer('INT32', 'int32', Int32Array, true),
  integer('INT64', 'int64', BigInt64Array, true),
  { name: 'FP16', type: 'float16', TypedArray: Uint16Array },
  { name: 'FP32', type: 'float32', TypedArray: Float32Array },
  { name: 'FP64', type: 'float64', TypedArray: Float64Array },
  { name: 'BYTES', type: 'string', TypedArray: undefined },
];

const byName = new Map(table.map((info) => [info.name as string, info]));
const byType = new Map(table.map((info) => [info.type, info]));

/** Every datatype's name. */
export const datatypeNames = table.map(({ name }) => name);

/** The datatype of this name; undefined where there is none. */
export function datatypeNamed(name: string): DatatypeInfo | undefined {
  return byName.get(name);
}

/** The datatype of a tensor's elements. */
export function datatypeOf(type: TensorType): DatatypeInfo {
  return byType.get(type)!;
}
