import { BallastError } from '../errors.js';
import type { Matrix, Tensor } from './tensor.js';

/**
 * Probabilities of logits, row by row, without overflow.
 * @param logits - `[N, K]`
 * @param firstSample - number of the first row, for errors
 * @returns `[N, K]`, rows sum to 1
 * @throws BallastError impossible where a logit is NaN or infinite: the model overflowed on that sample
 */
export function softmax({ data, rows, cols }: Matrix, firstSample = 0): Matrix {
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const begin = row * cols;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = begin; i < begin + cols; i++) max = Math.max(max, data[i]);
    let sum = 0;
    for (let i = begin; i < begin + cols; i++) sum += out[i] = Math.exp(data[i] - max);
    if (!Number.isFinite(sum)) {
      throw new BallastError(
        'impossible',
        `The model answered NaN or infinity for sample ${firstSample + row}; its input may be out of range.`,
      );
    }
    for (let i = begin; i < begin + cols; i++) out[i] /= sum;
  }
  return { data: out, rows, cols };
}

/**
 * The tensor as one row a sample: `[N, D]` as it is, `[N, C, H, W]` as the mean over H and W, `[N, T, D]` as the
 * mean over T (a pooled map and a sequence of tokens become features of one vector).
 * @param tensor - float32, batch axis first
 * @param what - names the tensor in errors
 * @throws BallastError invalid-model where it is no float32 tensor of rank 2, 3 or 4
 */
export function toMatrix(tensor: Tensor, what: string): Matrix {
  const { data, dims, type } = tensor;
  const rows = dims[0] ?? 0;
  if (!(data instanceof Float32Array) || dims.length < 2 || dims.length > 4) {
    throw new BallastError(
      'invalid-model',
      `${what} is ${type} of shape [${dims.join(', ')}]; it must be floating point, with one row a sample.`,
    );
  }
  if (dims.length === 2) return { data, rows, cols: dims[1] };
  const [cols, pooled] = dims.length === 4 ? [dims[1], dims[2] * dims[3]] : [dims[2], dims[1]];
  const [colStep, pooledStep] = dims.length === 4 ? [pooled, 1] : [1, cols];
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      let sum = 0;
      const begin = row * cols * pooled + col * colStep;
      for (let i = 0; i < pooled; i++) sum += data[begin + i * pooledStep];
      out[row * cols + col] = sum / pooled;
    }
  }
  return { data: out, rows, cols };
}

/** The rows `[begin, end)` of a matrix, in the same memory. */
export function rowsBetween({ data, cols }: Matrix, begin: number, end: number): Matrix {
  return { data: data.subarray(begin * cols, end * cols), rows: end - begin, cols };
}

/** The index of a row's greatest value, the first where several are. */
export function argmax({ data, cols }: Matrix, row: number): number {
  let best = 0;
  for (let col = 1; col < cols; col++) if (data[row * cols + col] > data[row * cols + best]) best = col;
  return best;
}

/** The two greatest probabilities of a row. */
export function topTwo({ data, cols }: Matrix, row: number): [number, number] {
  let [first, second] = [0, 0];
  for (let i = row * cols; i < (row + 1) * cols; i++) {
    const value = data[i];
    if (value > first) [first, second] = [value, first];
    else if (value > second) second = value;
  }
  return [first, second];
}

/**
 * Matrices below each other.
 * @param parts - `[n_i, D]`, all of the same D
 * @returns `[Σ n_i, D]`, in memory of its own
 */
export function stackRows(parts: readonly Matrix[]): Matrix {
  const cols = parts.at(0)?.cols ?? 0;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float32Array(rows * cols);
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return { data, rows, cols };
}
