import { outcomeOf } from '#ballast/eval/outcome.js';
import { aurocOf } from '#ballast/eval/metrics/auroc.js';
import { bootstrap, type Interval } from '#ballast/eval/metrics/bootstrap.js';
import { calibrationErrorOf } from '#ballast/eval/metrics/calibration-error.js';
import { scoredOf, type Scored } from '#ballast/eval/metrics/scored.js';

/** What was said of one face whose truth is known. */
export interface Scoring {
  /** Probability of fake, in [0, 1]. */
  readonly score: number;
  readonly fake: boolean;
  /** The picture that it was made of: those of one are drawn together. */
  readonly origin: string;
}

/**
 * Area under the ROC curve and its bootstrap interval of 95 %, over origins.
 * @param scorings - of both classes
 */
export async function aurocInterval(scorings: readonly Scoring[], seed: number): Promise<Interval> {
  const sorted = scorings.toSorted((a, b) => (a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0));
  const scored = scoredFrom(sorted);
  const begins = sorted.flatMap(({ origin }, i) => (i > 0 && sorted[i - 1].origin === origin ? [] : [i]));
  const arrival = { order: Uint32Array.from(sorted.keys()), blocks: Uint32Array.from(begins) };
  const [interval] = await bootstrap(arrival, [(weights) => aurocOf(scored, weights) ?? NaN], seed);
  return interval;
}

/** Expected calibration error of real or fake, 15 bins, in [0, 1]. */
export function calibrationError(scorings: readonly Scoring[]): number {
  return calibrationErrorOf(scoredFrom(scorings));
}

function scoredFrom(scorings: readonly Scoring[]): Scored {
  const data = Float32Array.from(scorings.flatMap(({ score }) => [1 - score, score]));
  const labels = Uint32Array.from(scorings, ({ fake }) => Number(fake));
  return scoredOf(outcomeOf({ data, rows: labels.length, cols: 2 }, labels), labels, 2);
}

/** The mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
