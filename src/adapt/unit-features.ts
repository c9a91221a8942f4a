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
  /** 1 for each row of norm 0, which stays 0. */
  readonly isZero: Uint8Array;
}

/**
 * L2-normalises each row of the features.
 * @param features - `[N, D]`, of any scale
 * @throws BallastError invalid-input where a feature is not finite; the message names the row
 */
export function unitFeatures(features: Matrix, precision: Precision): UnitFeatures {
  const { rows, cols } = features;
  const data = precision === 'float64' ? new Float64Array(rows * cols) : new Float32Array(rows * cols);
  const isZero = new Uint8Array(rows);
  const firstEqual = new Int32Array(rows);
  const rowsBySum = new Map<number, number[]>();
  for (let row = 0; row < rows; row++) {
    const sum = normaliseRow(features, row, data, isZero);
    const before = rowsBySum.get(sum);
    firstEqual[row] = before?.find((other) => rowsEqual(data, cols, row, other)) ?? row;
    if (before === undefined) rowsBySum.set(sum, [row]);
    else if (firstEqual[row] === row) before.push(row);
  }
  return { data, rows, cols, firstEqual, isZero };
}

/** Writes a row at length 1 and returns the sum of its entries, in which equal rows agree. */
function normaliseRow(features: Matrix, row: number, data: Float, isZero: Uint8Array): number {
  const { cols } = features;
  const start = row * cols;
  let squares = 0;
  // In float64 the square of a float32 neither overflows nor vanishes, so a norm that is not finite has one cause.
  for (let cell = start; cell < start + cols; cell++) squares += features.data[cell] * features.data[cell];
  if (!Number.isFinite(squares)) {
    throw new BallastError('invalid-input', `Row ${row} of the features holds a value that is not finite.`);
  }
  if (squares === 0) {
    isZero[row] = 1;
    return 0;
  }
  const scale = 1 / Math.sqrt(squares);
  let sum = 0;
  for (let cell = start; cell < start + cols; cell++) {
    data[cell] = features.data[cell] * scale;
    sum += data[cell];
  }
  return sum;
}

function rowsEqual(data: Float, cols: number, a: number, b: number): boolean {
  for (let col = 0; col < cols; col++) {
    if (data[a * cols + col] !== data[b * cols + col]) return false;
  }
  return true;
}
