import { BallastError } from '../../errors.js';
import { toFloat32 } from '../../runtime/float16.js';
import type { Tensor } from '../../runtime/tensor.js';

/**
 * Writes elements of a tensor as JSON, without brackets.
 * @param name - of the output, for errors
 * @param tensor - of any type; 64-bit integers are written digit by digit
 * @param begin - first element
 * @param end - one past the last
 * @throws BallastError impossible where an element is NaN or infinite, for which JSON has no word
 */
export function jsonElements(name: string, tensor: Tensor, begin: number, end: number): string {
  const { data, type } = tensor;
  if (Array.isArray(data)) return JSON.stringify(data.slice(begin, end)).slice(1, -1);
  const slice = data.subarray(begin, end);
  if (type === 'bool') return Array.from(slice as Uint8Array, (value) => value !== 0).join(',');
  const values = type === 'float16' ? toFloat32(slice) : slice;
  if (values instanceof Float32Array || values instanceof Float64Array) {
    checkFinite(name, values, begin);
    // String(-0) is "0", and "-0" a whole number to many clients, which has no sign.
    if (values.some(isNegativeZero)) {
      return Array.from(values, (value) => (isNegativeZero(value) ? '-0.0' : String(value))).join(',');
    }
  }
  return values.join(',');
}

function isNegativeZero(value: number): boolean {
  return Object.is(value, -0);
}

function checkFinite(name: string, values: Float32Array | Float64Array, begin: number): void {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * 0;
  if (sum === 0) return;
  const index = begin + values.findIndex((value) => !Number.isFinite(value));
  throw new BallastError(
    'impossible',
    `Output "${name}", element ${index}, is NaN or infinite, which JSON cannot say; ask for it with binary_data.`,
  );
}
