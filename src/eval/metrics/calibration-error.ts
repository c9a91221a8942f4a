import type { Scored, Weights } from './scored.js';

/** Bins of equal width, as Guo et al. have them. */
export const CALIBRATION_BINS = 15;

/**
 * Expected calibration error (Guo et al., ICML 2017, equation 3): samples are put into 15 bins of equal width by the
 * probability of their answer, (0, 1/15] to (14/15, 1]; the mean over samples of how far, in their bin, the mean
 * probability is from the share that is right.
 * @returns in [0, 1]; 0 is perfect
 */
export function calibrationErrorOf({ right, confidence }: Scored, weights?: Weights): number {
  const gaps = new Float64Array(CALIBRATION_BINS);
  let total = 0;
  for (let i = 0; i < right.length; i++) {
    const weight = weights === undefined ? 1 : weights[i];
    const bin = Math.min(CALIBRATION_BINS, Math.max(1, Math.ceil(confidence[i] * CALIBRATION_BINS)));
    gaps[bin - 1] += weight * (right[i] - confidence[i]);
    total += weight;
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / total;
}
