import { describe, expect, it } from 'vitest';
import { accuracyOf } from '#ballast/eval/metrics/accuracy.js';
import { aurocOf } from '#ballast/eval/metrics/auroc.js';
import { bootstrap, quantile } from '#ballast/eval/metrics/bootstrap.js';
import { calibrationErrorOf } from '#ballast/eval/metrics/calibration-error.js';
import { meanCorruptionError } from '#ballast/eval/metrics/corruption-error.js';
import { logLossOf } from '#ballast/eval/metrics/log-loss.js';
import { scoredOf, type Scored } from '#ballast/eval/metrics/scored.js';
import { spreadOf } from '#ballast/eval/metrics/spread.js';
import { outcomeOf, packOutcome, unpackOutcome } from '#ballast/eval/outcome.js';

const LABELS = Uint32Array.of(0, 1, 1, 0);
/** Two classes; the answers are 0, 1, 0, 1, of which the first two are right. */
const TWO = Float32Array.of(0.9, 0.1, 0.25, 0.75, 0.625, 0.375, 0.375, 0.625);
const outcome = outcomeOf({ data: TWO, rows: 4, cols: 2 }, LABELS);
const scored = scoredOf(outcome, LABELS, 2);

describe('metrics', () => {
  it('takes the answer, its probability and that of the true class off each row', () => {
    expect([...outcome.predicted]).toEqual([0, 1, 0, 1]);
    expect([...outcome.trueProbability]).toEqual([...Float32Array.of(0.9, 0.75, 0.375, 0.375)]);
    expect([...outcome.confidence]).toEqual([...Float32Array.of(0.9, 0.75, 0.625, 0.625)]);
  });

  it('counts right answers', () => {
    expect(accuracyOf(scored)).toBe(0.5);
    expect(accuracyOf(scored, Uint32Array.of(3, 0, 1, 0))).toBe(0.75);
  });

  it('averages the log loss', () => {
    const expected = -(Math.log(0.9) + Math.log(0.75) + 2 * Math.log(0.375)) / 4;
    expect(logLossOf(scored)).toBeCloseTo(expected, 6);
    expect(logLossOf(scored, Uint32Array.of(0, 2, 0, 0))).toBeCloseTo(-Math.log(0.75), 6);
  });

  it('does not let one sure mistake make the log loss infinite', () => {
    const sure = outcomeOf({ data: Float32Array.of(1, 0), rows: 1, cols: 2 }, Uint32Array.of(1));
    expect(logLossOf(scoredOf(sure, Uint32Array.of(1), 2))).toBeCloseTo(-Math.log(1e-12), 6);
  });

  it('measures calibration bin by bin', () => {
    // Bins of 1/15: 0.9 alone (gap 0.1), 0.75 alone (gap 0.25), 0.625 twice (gap 0.625 each).
    expect(calibrationErrorOf(scored)).toBeCloseTo((0.1 + 0.25 + 2 * 0.625) / 4, 6);
    // In one bin right and wrong answers even out: 0.6 and half right.
    const even: Scored = {
      right: Uint8Array.of(1, 0),
      logLoss: new Float64Array(2),
      confidence: Float32Array.of(0.61, 0.65),
    };
    expect(calibrationErrorOf(even)).toBeCloseTo(0.13, 6);
    // The upper end of a bin belongs to it.
    expect(calibrationErrorOf({ ...even, confidence: Float32Array.of(1, 1) })).toBeCloseTo(0.5, 6);
  });

  it('ranks two classes', () => {
    // Scores of class 1: 0.1 and 0.625 of class 0, 0.75 and 0.375 of class 1: three of four pairs are right.
    expect(aurocOf(scored)).toBe(0.75);
    expect(aurocOf(scored, Uint32Array.of(1, 1, 0, 1))).toBe(1);
    expect(aurocOf(scored, Uint32Array.of(1, 0, 0, 1))).toBeNaN();
    const tied = outcomeOf(
      { data: Float32Array.of(0.5, 0.5, 0.5, 0.5), rows: 2, cols: 2 },
      Uint32Array.of(0, 1),
    );
    expect(aurocOf(scoredOf(tied, Uint32Array.of(0, 1), 2))).toBe(0.5);
    expect(aurocOf(scoredOf(outcome, LABELS, 3))).toBeUndefined();
  });

  it('sums severities before it divides, and means over corruptions', () => {
    const value = meanCorruptionError([
      { corruption: 'fog', error: 0.1, base: 0.2 },
      { corruption: 'fog', error: 0.5, base: 0.4 },
      { corruption: 'snow', error: 0.3, base: 0.2 },
    ]);
    expect(value).toBeCloseTo((0.6 / 0.6 + 0.3 / 0.2) / 2, 9);
    expect(meanCorruptionError([])).toBeUndefined();
    expect(meanCorruptionError([{ corruption: 'fog', error: 0.1, base: 0 }])).toBeUndefined();
  });

  it('tells how numbers are spread', () => {
    const spread = spreadOf(Float32Array.of(3, 0, 1, 0));
    expect(spread).toEqual({ mean: 1, least: 0, median: 0.5, greatest: 3, positive: 0.5 });
  });

  it('packs an outcome with every bit', () => {
    const whole = { ...outcome, alpha: Float32Array.of(0.1, 0.2, 0.3, 1 / 3), radius: new Float32Array(4) };
    expect(
      unpackOutcome(JSON.parse(JSON.stringify(packOutcome(whole))) as ReturnType<typeof packOutcome>),
    ).toEqual(whole);
    expect(unpackOutcome(packOutcome(outcome))).toEqual(outcome);
  });
});

describe('bootstrap', () => {
  const count = 400;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const right = Uint8Array.from({ length: count }, (_, i) => Number(Math.floor(i / 40) % 2 === 0));
  const accuracy = accuracyOf;
  const of = { right, logLoss: new Float64Array(count), confidence: new Float32Array(count) };

  it('agrees with the normal approximation where samples are independent', async () => {
    const [interval] = await bootstrap({ order, blocks: order }, [(weights) => accuracy(of, weights)], 1);
    const half = 1.96 * Math.sqrt(0.25 / count);
    expect(interval.value).toBe(0.5);
    expect(interval.low).toBeCloseTo(0.5 - half, 2);
    expect(interval.high).toBeCloseTo(0.5 + half, 2);
  });

  it('is wider where runs are right or wrong together', async () => {
    const blocks = Uint32Array.from({ length: 10 }, (_, i) => i * 40);
    const [interval] = await bootstrap({ order, blocks }, [(weights) => accuracy(of, weights)], 1);
    expect(interval.high - interval.low).toBeGreaterThan(0.4);
  });

  it('tells no interval of a few runs', async () => {
    const blocks = Uint32Array.from({ length: 9 }, (_, i) => i * 40);
    const [interval] = await bootstrap({ order, blocks }, [(weights) => accuracy(of, weights)], 1);
    expect(interval).toEqual({ value: 0.5, low: NaN, high: NaN });
  });

  it('draws for all statistics alike, so that a difference of equals is 0', async () => {
    const one = (weights: Uint32Array | undefined): number => accuracy(of, weights);
    const [difference] = await bootstrap(
      { order, blocks: order },
      [(weights) => one(weights) - one(weights)],
      1,
    );
    expect(difference).toEqual({ value: 0, low: 0, high: 0 });
  });

  it('depends on its seed alone', async () => {
    const run = (seed: number): ReturnType<typeof bootstrap> =>
      bootstrap({ order, blocks: order }, [(weights) => accuracy(of, weights)], seed, 50);
    expect(await run(5)).toEqual(await run(5));
    expect(await run(5)).not.toEqual(await run(6));
  });

  it('finds quantiles between values', () => {
    expect(quantile([1, 2, 4], 0.5)).toBe(2);
    expect(quantile([1, 2, 4], 0.75)).toBe(3);
    expect(quantile([], 0.5)).toBeNaN();
  });
});
