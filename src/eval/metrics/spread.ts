import { quantile } from './bootstrap.js';

/** How numbers of samples, such as alpha or certified radii, are spread. */
export interface Spread {
  readonly mean: number;
  readonly least: number;
  readonly median: number;
  readonly greatest: number;
  /** Share of the samples above 0, in [0, 1]. */
  readonly positive: number;
}

/**
 * How numbers are spread.
 * @param values - at least one
 */
export function spreadOf(values: Float32Array): Spread {
  const sorted = Float64Array.from(values).sort();
  return {
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    least: sorted[0],
    median: quantile(sorted, 0.5),
    greatest: sorted[sorted.length - 1],
    positive: sorted.filter((value) => value > 0).length / sorted.length,
  };
}
