import type { Matrix } from '#ballast/runtime/tensor.js';

/** The most probable class of each row; of equals the first. */
export function predictedClasses({ data, rows, cols }: Matrix): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const values = data.subarray(row * cols, (row + 1) * cols);
    return values.indexOf(Math.max(...values));
  });
}

/** Percent of the predictions that are right. */
export function accuracyOf(predicted: readonly number[], labels: readonly number[]): number {
  const right = predicted.filter((prediction, i) => prediction === labels[i]).length;
  return (100 * right) / labels.length;
}
