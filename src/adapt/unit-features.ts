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
 * L2-normalises each row of the features.
 * @param features - `[N, D]`, of any scale
 * @throws BallastError invalid-input where a feature is not finite; the message names the row
 */
export function unitFeatures(features: Matrix, precision: Precision): UnitFeatures {
  const { rows, cols } = features;
  const data = precision === 'float64' ? new Float64Array(rows * cols) : new Float32Array(rows * cols);
  const firstEqual = new Int32Array(rows);
  const copies: number[] = [];
  // Loops over one type of array are twice as fast as over two, so each row is made in float64 and then stored.
  const unit = new Float64Array(cols);
  const rowsByPrint = new Map<number, number[]>();
  let zero: number | undefined;
  for (let row = 0; row < rows; row++) {
    const { norm, print } = normalise(features.data.subarray(row * cols, (row + 1) * cols), unit);
    data.set(unit, row * cols);
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

/** Writes a row at length 1. Returns its norm, and a number in which equal rows agree and others seldom do. */
function normalise(row: Float32Array, unit: Float64Array): { norm: number; print: number } {
  let squares = 0;
  // In float64 the square of a float32 neither overflows nor vanishes, so a norm that is not finite has one cause.
  for (let col = 0; col < row.length; col++) {
    const value = row[col];
    squares += value * value;
  }
  const norm = Math.sqrt(squares);
  const scale = norm === 0 ? 0 : 1 / norm;
  let print = 0;
  for (let col = 0; col < row.length; col++) {
    const value = row[col] * scale;
    unit[col] = value;
    print += value * (col + 1);
  }
  return { norm, print };
}

function rowsEqual(data: Float, cols: number, a: number, b: number): boolean {
  for (let col = 0; col < cols; col++) {
    if (data[a * cols + col] !== data[b * cols + col]) return false;
  }
  return true;
}
