import { BallastError } from '../errors.js';
import type { Matrix } from '../runtime/tensor.js';

/** Numbers in the precision that a problem is solved in. */
export type Float = Float32Array | Float64Array;
export type Precision = 'float32' | 'float64';

/** Features `[N, D]` with what it takes to compare them at length 1, and what rounding must not blur. */
export interface FeatureRows {
  readonly data: Float;
  readonly rows: number;
  readonly cols: number;
  /** What brings each row to length 1; 0 for a row of zeros, which stays as it is. */
  readonly scales: Float64Array;
  /** For each row the first row that equals it: its own index where no row before it does. */
  readonly firstEqual: Int32Array;
  /** The rows for which that is another row. */
  readonly copies: readonly number[];
  /** The first row of zeros; undefined where there is none. */
  readonly zero: number | undefined;
}

/** Norms between which no product of two rows, in float32, overflows or loses digits. */
const LEAST_NORM = 2 ** -32;
const GREATEST_NORM = 2 ** 32;

/**
 * Measures each row of the features.
 * @param features - `[N, D]`, of any scale; rows of extreme norm are brought near length 1 in place
 * @throws BallastError invalid-input where a feature is not finite; the message names the row
 */
export function measureRows(features: Matrix, precision: Precision): FeatureRows {
  const { data, rows, cols } = features;
  const scales = new Float64Array(rows);
  const firstEqual = new Int32Array(rows);
  const copies: number[] = [];
  const rowsByPrint = new Map<number, number[]>();
  let zero: number | undefined;
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * cols, (row + 1) * cols);
    const { norm, print } = measure(values);
    if (!Number.isFinite(norm)) {
      throw new BallastError('invalid-input', `Row ${row} of the features holds a value that is not finite.`);
    }
    if (norm === 0) zero ??= row;
    scales[row] = norm === 0 ? 0 : 1 / (norm * tame(values, norm));
    const alike = rowsByPrint.get(print) ?? [];
    const equal = alike.find((other) => rowsEqual(data, cols, row, other));
    firstEqual[row] = equal ?? row;
    if (equal === undefined) rowsByPrint.set(print, [...alike, row]);
    else copies.push(row);
  }
  const stored = precision === 'float64' ? new Float64Array(data) : data;
  return { data: stored, rows, cols, scales, firstEqual, copies, zero };
}

/**
 * The norm of a row, and a number in which equal rows agree and others seldom do. Four sums of squares, so that one
 * addition does not wait for another; in float64 they neither overflow nor vanish, so if they are not finite, neither
 * is a feature.
 */
function measure(row: Float32Array): { norm: number; print: number } {
  const whole = row.length - (row.length % 4);
  let [first, second, third, fourth] = [0, 0, 0, 0];
  for (let col = 0; col < whole; col += 4) {
    first += row[col] * row[col];
    second += row[col + 1] * row[col + 1];
    third += row[col + 2] * row[col + 2];
    fourth += row[col + 3] * row[col + 3];
  }
  for (let col = whole; col < row.length; col++) first += row[col] * row[col];
  const norm = Math.sqrt(first + second + third + fourth);
  return { norm, print: first + 2 * second + 3 * third + 5 * fourth };
}

/** Brings a row of extreme norm near length 1, by a power of 2, which changes no digit; returns the power. */
function tame(row: Float32Array, norm: number): number {
  if (norm > LEAST_NORM && norm < GREATEST_NORM) return 1;
  const power = 2 ** -Math.round(Math.log2(norm));
  for (let col = 0; col < row.length; col++) row[col] *= power;
  return power;
}

function rowsEqual(data: Float32Array, cols: number, a: number, b: number): boolean {
  for (let col = 0; col < cols; col++) {
    if (data[a * cols + col] !== data[b * cols + col]) return false;
  }
  return true;
}
