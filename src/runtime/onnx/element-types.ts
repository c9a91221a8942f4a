import type { TensorType } from '../tensor.js';

/** TensorProto.DataType by number: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto */
const NAMES: ReadonlyMap<number, TensorType> = new Map([
  [1, 'float32'],
  [2, 'uint8'],
  [3, 'int8'],
  [4, 'uint16'],
  [5, 'int16'],
  [6, 'int32'],
  [7, 'int64'],
  [8, 'string'],
  [9, 'bool'],
  [10, 'float16'],
  [11, 'float64'],
  [12, 'uint32'],
  [13, 'uint64'],
]);

/** The numbers of the types that hold real numbers: float, float16, double, bfloat16. */
const REAL: ReadonlySet<number> = new Set([1, 10, 11, 16]);

/** The number of `float`, which operators take as the default type. */
export const FLOAT = 1;

/** The name of an ONNX element type; undefined for those that JavaScript cannot hold (bfloat16, complex, 4 bits, …). */
export function elementTypeName(number: number): TensorType | undefined {
  return NAMES.get(number);
}

/** Whether an ONNX element type holds real numbers, so that distances between such tensors mean something. */
export function isReal(number: number): boolean {
  return REAL.has(number);
}
