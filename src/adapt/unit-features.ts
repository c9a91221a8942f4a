import { BallastError } from '../errors.js';
import type { Matrix } from '../runtime/tensor.js';

/** Numbers in the precision that a problem is solved in. */
export type Float = Float32Array | Float64Array;
export type Precision = 'float32' | 'float64';

/** Feature rows of length 1 `[N, D]`, and what rounding must not blur: which rows are equal, which are zero. */
export interface UnitFeatures {
  readonly data: Float;
  readonly rows: number;
  readonly cols: number;
  /** For each row the first row that equals it: its own index where no row before it does. */
  readonly firstEqual: Int32Array;
  /** The rows for which that is another row. */
  readonly copies: readonly number[];
  /** The first row of norm 0, which stays 0; undefined where there is none. */
  readonly zero: number | undefined;
}

/**
 * L2-normalises each row of the features; in float32 in place, so that no second copy of a large batch is made.
 * @param features - `[N, D]`, of any scale
 * @throws BallastError invalid-input where a feature is not finite; the message names the row
 */
export function unitFeatures(features: Matrix, precision: Precision): UnitFeatures {
  const { rows, cols } = features;
  const data = precision === 'float64' ? new Float64Array(rows * cols) : features.data;
  const firstEqual = new Int32Array(rows);
  const copies: number[] = [];
  const rowsByPrint = new Map<number, number[]>();
  let zero: number | undefined;
  for (let row = 0; row < rows; row++) {
    const { norm, print } = normalise(features.data, data, row * cols, cols);
    if (!Number.isFinite(norm)) {
      throw new BallastError('invalid-input', `Row ${row} of the features holds a value that is not finite.`);
    }
    if (norm === 0) zero ??= row;
    const alike = rowsByPrint.get(print) ?? [];
    const equal = alike.find((other) => rowsEqual(data, cols, row, other));
    firstEqual[row] = equal ?? row;
    if (equal === undefined) rowsByPrint.set(print, [...alike, row]);
    else copies.push(row);
  }
  return { data, rows, cols, firstEqual, copies, zero };
}

/** Brings a row to length 1. Returns its norm, and a number in which equal rows agree and others seldom do. */
function normalise(
  from: Float32Array,
  to: Float,
  start: number,
  cols: number,
): { norm: number; print: number } {
  const row = from.subarray(start, start + cols);
  const unit = to.subarray(start, start + cols);
  let squares = 0;
  let print = 0;
  // In float64 the square of a float32 neither overflows nor vanishes, so a norm that is not finite has one cause.
  for (let col = 0; col < cols; col++) {
    const value = row[col];
    squares += value * value;
    print += value * (col + 1);
  }
  const norm = Math.sqrt(squares);
  const scale = norm === 0 ? 0 : 1 / norm;
  for (let col = 0; col < cols; col++) unit[col] = row[col] * scale;
  return { norm, print: print * scale };
}

function rowsEqual(data: Float, cols: number, a: number, b: number): boolean {
  for (let col = 0; col < cols; col++) {
    if (data[a * cols + col] !== data[b * cols + col]) return false;
  }
  return true;
}
