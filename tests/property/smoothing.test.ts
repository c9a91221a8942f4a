import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gaussianRadius, lipschitzRadius } from '#ballast/robust/certificate.js';
import { lowerBound, upperBound } from '#ballast/robust/clopper-pearson.js';
import { certifyVotes } from '#ballast/robust/randomized-smoothing.js';
import { normalQuantile } from '#ballast/robust/normal.js';
import { smooth } from '#ballast/robust/smoothing.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { softmax } from '#ballast/runtime/matrix.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

const unit = fc.double({ min: 0, max: 1, noNaN: true });

/** Two matrices of logits of one shape, up to ±1e4. */
const logits = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 2, max: 8 }))
  .chain(([rows, cols]) => {
    const one = fc
      .array(fc.float({ min: -1e4, max: 1e4, noNaN: true }), {
        minLength: rows * cols,
        maxLength: rows * cols,
      })
      .map((values): Matrix => ({ data: Float32Array.from(values), rows, cols }));
    return fc.tuple(one, one);
  });

/** The two greatest probabilities of a classifier. */
const topTwo = fc.tuple(unit, unit).map(([first, share]) => {
  const second = Math.min(first, 1 - first) * share;
  return [first, second] as const;
});

describe('adaptive smoothing', () => {
  it('gives the standard classifier at alpha 0 and the robust one at alpha 1', () => {
    fc.assert(
      fc.property(logits, ([standard, robust]) => {
        for (const [alpha, alone] of [
          [0, standard],
          [1, robust],
        ] as const) {
          const mixed = smooth(standard, robust, alpha).data.map(Math.exp);
          const expected = softmax(alone).data;
          mixed.forEach((value, i) => {
            expect(Math.abs(value - expected[i])).toBeLessThan(1e-6);
          });
        }
      }),
    );
  });

  it('answers finite log-probabilities whose exponentials sum to 1', () => {
    fc.assert(
      fc.property(logits, unit, ([standard, robust], alpha) => {
        const { data, rows, cols } = smooth(standard, robust, alpha);
        expect(data.every(Number.isFinite)).toBe(true);
        for (let row = 0; row < rows; row++) {
          const sum = data
            .subarray(row * cols, (row + 1) * cols)
            .reduce((total, p) => total + Math.exp(p), 0);
          expect(Math.abs(sum - 1)).toBeLessThan(1e-5);
        }
      }),
    );
  });

  it('treats every sample alone', () => {
    fc.assert(
      fc.property(logits, unit, ([standard, robust], alpha) => {
        const together = smooth(standard, robust, alpha);
        const { cols } = together;
        const first = (m: Matrix): Matrix => ({ data: m.data.slice(0, cols), rows: 1, cols });
        expect(smooth(first(standard), first(robust), alpha).data).toEqual(together.data.slice(0, cols));
      }),
    );
  });
});

describe('a certified radius', () => {
  it('never grows when alpha falls, nor when the margin does', () => {
    const L = Math.sqrt(2 / Math.PI) / 0.25;
    fc.assert(
      fc.property(topTwo, unit, unit, ([first, second], one, other) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)];
        expect(lipschitzRadius(first, second, low, L)).toBeLessThanOrEqual(
          lipschitzRadius(first, second, high, L) + 1e-12,
        );
        expect(gaussianRadius(first, second, low, 0.25)).toBeLessThanOrEqual(
          gaussianRadius(first, second, high, 0.25) + 1e-12,
        );
        expect(gaussianRadius(first * one, second, high, 0.25)).toBeLessThanOrEqual(
          gaussianRadius(first, second, high, 0.25) + 1e-12,
        );
      }),
    );
  });

  it('is 0 where the standard classifier alone can outvote the robust one', () => {
    fc.assert(
      fc.property(topTwo, unit, ([first, second], alpha) => {
        fc.pre(alpha * (first - second) < 1 - alpha);
        expect(lipschitzRadius(first, second, alpha, 3)).toBe(0);
        expect(gaussianRadius(first, second, alpha, 0.25)).toBe(0);
      }),
    );
  });
});

/** Φ by its derivative's series (Marsaglia, 2004). */
function normalShare(x: number): number {
  if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
  let [sum, term] = [x, x];
  for (let i = 3; Math.abs(term) > 1e-17; i += 2) sum += term *= (x * x) / i;
  return 0.5 + sum * Math.exp(-(x * x) / 2 - 0.9189385332046727);
}

describe('a certificate of a classifier that is known exactly', () => {
  // Two classes, a plane at the distance d: smoothed by noise of σ, the class has the share Φ(d / σ).
  const cases = fc.tuple(
    fc.double({ min: 0.05, max: 3, noNaN: true }),
    fc.double({ min: 0.51, max: 1, noNaN: true }),
    fc.double({ min: 0.1, max: 2, noNaN: true }),
  );
  /** By how much the class leads when the standard classifier is sure of the other one. */
  const lead = (distance: number, alpha: number, sigma: number): number => {
    const share = normalShare(distance / sigma);
    return alpha * share - (alpha * (1 - share) + 1 - alpha);
  };

  it('holds at the radius of the Gaussian form, and with the robust classifier alone not beyond it', () => {
    fc.assert(
      fc.property(cases, ([distance, alpha, sigma]) => {
        const share = normalShare(distance / sigma);
        const radius = gaussianRadius(share, 1 - share, alpha, sigma);
        fc.pre(radius > 0 && share < 1 - 1e-12);
        expect(lead(distance - radius, alpha, sigma)).toBeGreaterThan(-1e-9);
        const alone = gaussianRadius(share, 1 - share, 1, sigma);
        expect(lead(distance - alone * 1.01, 1, sigma)).toBeLessThan(0);
      }),
    );
  });

  it('holds at the radius of the Lipschitz form, which is never the greater one', () => {
    fc.assert(
      fc.property(cases, ([distance, alpha, sigma]) => {
        const share = normalShare(distance / sigma);
        fc.pre(share < 1 - 1e-12);
        const radius = lipschitzRadius(share, 1 - share, alpha, Math.sqrt(2 / Math.PI) / sigma);
        if (radius > 0) expect(lead(distance - radius, alpha, sigma)).toBeGreaterThan(-1e-9);
        expect(radius).toBeLessThanOrEqual(gaussianRadius(share, 1 - share, alpha, sigma) + 1e-9);
      }),
    );
  });

  it('by votes is wrong no more often than its confidence allows', () => {
    const [distance, alpha, sigma, confidence, trials] = [0.4, 0.95, 0.5, 0.9, 3000];
    const share = normalShare(distance / sigma);
    const noise = new GaussianNoise(7);
    const draw = (draws: number): Uint32Array => {
      const votes = new Uint32Array(2);
      for (let i = 0; i < draws; i++) votes[distance + sigma * noise.next() > 0 ? 0 : 1]++;
      return votes;
    };
    const exact = gaussianRadius(share, 1 - share, alpha, sigma);
    let [wrong, certified] = [0, 0];
    for (let trial = 0; trial < trials; trial++) {
      const votes = { selection: draw(10), estimation: draw(100) };
      const { index, radius } = certifyVotes(votes, alpha, sigma, confidence);
      if (radius > 0) certified++;
      if (radius > 0 && (index !== 0 || radius > exact)) wrong++;
    }
    expect(certified).toBeGreaterThan(0);
    expect(wrong / trials).toBeLessThan(1 - confidence);
  });
});

describe('statistics', () => {
  it('normal numbers have the moments of normal ones, and a seed gives the same again', () => {
    const noise = new GaussianNoise(1, 2, 3);
    const values = Float64Array.from({ length: 200_000 }, () => noise.next());
    const moment = (power: number): number =>
      values.reduce((sum, value) => sum + value ** power, 0) / values.length;
    expect(moment(1)).toBeCloseTo(0, 1.5);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
    expect(Math.abs(moment(3))).toBeLessThan(0.05);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
    const first = (...seeds: number[]): number[] => {
      const other = new GaussianNoise(...seeds);
      return Array.from({ length: 5 }, () => other.next());
    };
    expect(first(1, 2, 3)).toEqual([...values.subarray(0, 5)]);
    for (const seeds of [
      [1, 2, 4],
      [1, 3, 3],
      [2, 2, 3],
      [3, 2, 1],
      [1, 2],
    ]) {
      expect(first(...seeds)).not.toEqual(first(1, 2, 3));
    }
  });

  it('bounds enclose the share of hits, and close in as the error may be greater', () => {
    const counts = fc
      .integer({ min: 1, max: 100_000 })
      .chain((trials) => fc.tuple(fc.integer({ min: 0, max: trials }), fc.constant(trials)));
    fc.assert(
      fc.property(counts, ([hits, trials]) => {
        const [wide, narrow] = [0.001, 0.05].map((error) => [
          lowerBound(hits, trials, error),
          upperBound(hits, trials, error),
        ]);
        const share = hits / trials;
        expect([wide[0], narrow[0], share, narrow[1], wide[1]]).toEqual(
          [wide[0], narrow[0], share, narrow[1], wide[1]].toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it('the lower bound is where that many hits or more are as rare as the error', () => {
    // P(X ≥ 8 of 10) by the binomial formula.
    const p = lowerBound(8, 10, 0.01);
    const tail = 45 * p ** 8 * (1 - p) ** 2 + 10 * p ** 9 * (1 - p) + p ** 10;
    expect(tail).toBeCloseTo(0.01, 10);
  });

  it('the normal quantile is odd, rising and right where tables say', () => {
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
    expect(normalQuantile(0.999)).toBeCloseTo(3.090232306167813, 12);
    expect(normalQuantile(1e-20)).toBeCloseTo(-9.2623400897984, 10);
    expect([0, 0.5, 1].map(normalQuantile)).toEqual([-Infinity, 0, Infinity]);
    fc.assert(
      fc.property(unit, unit, (one, other) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)];
        expect(normalQuantile(low)).toBeLessThanOrEqual(normalQuantile(high));
      }),
    );
  });
});
