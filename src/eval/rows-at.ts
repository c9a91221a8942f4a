import type { Matrix } from '../runtime/tensor.js';

/** Some rows of a matrix, in the order given, in memory of their own. */
export function rowsAt({ data, cols }: Matrix, rows: Uint32Array): Matrix {
  const out = new Float32Array(rows.length * cols);
  rows.forEach((row, i) => {
    out.set(data.subarray(row * cols, (row + 1) * cols), i * cols);
  });
  return { data: out, rows: rows.length, cols };
}
