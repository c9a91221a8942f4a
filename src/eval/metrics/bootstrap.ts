import { setImmediate as nextTurn } from 'node:timers/promises';
import { SeededRandom } from '../../runtime/seeded-random.js';
import type { Arrival } from '../streams.js';
import type { Weights } from './scored.js';

/** A value and the interval that it lies in with 95 % confidence. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** How many times the samples are drawn again. */
export const RESAMPLES = 1000;

/** Of fewer blocks no interval is told: draws of a few say little, and draws of one nothing. */
export const LEAST_BLOCKS = 10;

const RESAMPLES_A_TURN = 10;

/**
 * Percentile bootstrap intervals of 95 % (Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13). As
 * many of the arrival's blocks are drawn, with replacement, as there are: single samples where they came
 * independently, whole runs and segments where they did not (block bootstrap), since neighbours of one class tend to be
 * right or wrong together. Every statistic sees the same draws, so that a difference of two is a paired one.
 * Takes turns with the event loop.
 * @param arrival - N samples and their blocks
 * @param statistics - each given how often every sample counts, `[N]`, undefined for once; draws for which one is not
 *   finite do not count for it
 * @param seed - of the draws
 * @param resamples - how many draws
 * @returns for each statistic its value on the samples as they are, and the interval; NaN where it has no value, and
 *   both ends NaN where there are fewer than 10 blocks
 */
export async function bootstrap(
  { order, blocks }: Arrival,
  statistics: readonly ((weights: Weights) => number)[],
  seed: number,
  resamples = RESAMPLES,
): Promise<Interval[]> {
  const random = new SeededRandom(seed, order.length, blocks.length);
  const draws = statistics.map((): number[] => []);
  const weights = new Uint32Array(order.length);
  const wanted = blocks.length < LEAST_BLOCKS ? 0 : resamples;
  for (let resample = 0; resample < wanted; resample++) {
    if (resample % RESAMPLES_A_TURN === 0) await nextTurn();
    weights.fill(0);
    for (let i = 0; i < blocks.length; i++) {
      const block = Math.floor(random.uniform() * blocks.length);
      const end = block + 1 < blocks.length ? blocks[block + 1] : order.length;
      for (let place = blocks[block]; place < end; place++) weights[order[place]]++;
    }
    statistics.forEach((statistic, i) => {
      const value = statistic(weights);
      if (Number.isFinite(value)) draws[i].push(value);
    });
  }
  return statistics.map((statistic, i) => {
    const sorted = draws[i].sort((a, b) => a - b);
    return { value: statistic(undefined), low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
  });
}

/**
 * The value below which a share of the values lies, between two of them in proportion.
 * @param sorted - ascending; NaN where empty
 * @param share - in [0, 1]
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return sorted.length === 0 ? NaN : below + (above - below) * (place - Math.floor(place));
}
