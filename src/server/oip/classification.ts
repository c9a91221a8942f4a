import { BallastError } from '../../errors.js';
import { toFloat32 } from '../../runtime/float16.js';
import type { Tensor } from '../../runtime/tensor.js';
import { topIndices } from '../top-k.js';

/**
 * The classification extension: of each row the greatest elements, as `value:index:label` strings.
 * @param name - of the output, for errors
 * @param tensor - numbers, `[N, K]` or `[N, …]` read as `[N, K]`
 * @param count - how many of each row; capped by K
 * @param labels - of the classes; put in where there is one for each element of a row
 * @returns BYTES `[N, count]`
 * @throws BallastError invalid-input for an output of strings or 64-bit integers
 */
export function classify(name: string, tensor: Tensor, count: number, labels: readonly string[]): Tensor {
  const values = numbersOf(name, tensor);
  const rows = tensor.dims[0] ?? 1;
  const length = rows === 0 ? 0 : values.length / rows;
  const labelled = labels.length === length;
  const strings: string[] = [];
  for (let row = 0; row < rows; row++) {
    for (const index of topIndices(values, row * length, length, count)) {
      const value = values[row * length + index];
      strings.push(labelled ? `${value}:${index}:${labels[index]}` : `${value}:${index}`);
    }
  }
  return { type: 'string', dims: [rows, Math.min(count, length)], data: strings };
}

function numbersOf(name: string, { type, data }: Tensor): ArrayLike<number> {
  if (Array.isArray(data) || data instanceof BigInt64Array || data instanceof BigUint64Array) {
    throw new BallastError('invalid-input', `Output "${name}" is ${type}, which has no classification.`);
  }
  return type === 'float16' ? toFloat32(data) : data;
}
