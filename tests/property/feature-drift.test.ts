import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClassDiversity } from '#ballast/adapt/class-diversity.js';
import { DriftWindow } from '#ballast/adapt/drift-window.js';
import { driftReference, squaredMmd } from '#ballast/adapt/feature-drift.js';
import { FourierFeatures } from '#ballast/adapt/fourier-features.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

const COLS = 5;

function normalFeatures(rows: number, seed: number): Matrix {
  const noise = new GaussianNoise(seed);
  return { data: Float32Array.from({ length: rows * COLS }, () => noise.next()), rows, cols: COLS };
}

const reference = driftReference(normalFeatures(100, 1), { seed: 1, size: 32 });
/** Finite float32 numbers of every size, and now and then one that is not. */
const anyNumber = fc.oneof(
  { weight: 20, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity, 1e-45, 0) },
);
const anySample = fc
  .array(anyNumber, { minLength: COLS, maxLength: COLS })
  .map((values) => Float32Array.from(values));
const anySamples = fc.array(anySample, { minLength: 60, maxLength: 90 });

function ratioOf(samples: readonly Float32Array[]): number | undefined {
  const window = new DriftWindow(reference);
  for (const sample of samples) window.add(sample);
  return window.ratio;
}

describe('drift, whatever it is given,', () => {
  it('is finite, and above the least that its unbiased form can be', () => {
    const { window, samples, threshold } = reference;
    // (n‖a‖² - 1) / (n - 1) ≥ ‖a‖² - (1 - ‖a‖²) / (n - 1), and ‖a - b‖² ≥ 0.
    const least = -(1 / (window - 1) + 1 / (samples - 1)) / threshold - 1e-3;
    fc.assert(
      fc.property(anySamples, (given) => {
        const ratio = ratioOf(given);
        const finite = given.filter((sample) => sample.every(Number.isFinite));
        expect(ratio === undefined).toBe(finite.length < window);
        if (ratio === undefined) return;
        expect(Number.isFinite(ratio)).toBe(true);
        expect(ratio).toBeGreaterThanOrEqual(least);
      }),
    );
  });

  it('does not care about the order within a window', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (seed, orderSeed) => {
        const { data } = normalFeatures(reference.window, seed);
        const rows = Array.from({ length: reference.window }, (_, i) =>
          data.subarray(i * COLS, (i + 1) * COLS),
        );
        const order = [...new SeededRandom(orderSeed).permutation(rows.length)];
        expect(ratioOf(order.map((row) => rows[row]))).toBeCloseTo(ratioOf(rows)!, 6);
      }),
    );
  });

  it('does not care about the scale of a sample', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(2 ** -30, 0.5, 8, 2 ** 40), (seed, scale) => {
        const { data } = normalFeatures(reference.window, seed);
        const rows = Array.from({ length: reference.window }, (_, i) =>
          data.subarray(i * COLS, (i + 1) * COLS),
        );
        const scaled = rows.map((row) => row.map((value) => value * scale));
        expect(ratioOf(scaled)).toBeCloseTo(ratioOf(rows)!, 6);
      }),
    );
  });

  it('is the same seen from either group', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (one, other) => {
        const embedding = new FourierFeatures(COLS, { bandwidth: 1, size: 16, seed: 2 });
        const [a, b] = [one, other].map((seed, i) => {
          const features = normalFeatures(3 + i, seed);
          const mean = new Float64Array(16);
          const into = new Float32Array(16);
          for (let row = 0; row < features.rows; row++) {
            embedding.embed(features.data.subarray(row * COLS, (row + 1) * COLS), into, 0);
            into.forEach((value, j) => (mean[j] += value / features.rows));
          }
          return { mean, count: features.rows };
        });
        expect(squaredMmd(a, b)).toBeCloseTo(squaredMmd(b, a), 12);
      }),
    );
  });
});

describe('diversity, whatever it is given,', () => {
  it('lies between 1 over the number of classes and 1', () => {
    const weights = fc.array(fc.constantFrom(0, 0, 1e-30, 0.1, 1, 5), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(fc.array(weights, { minLength: 1, maxLength: 400 }), (rows) => {
        const diversity = new ClassDiversity(7);
        for (const row of rows) {
          const total = row.reduce<number>((sum, value) => sum + value, 0);
          diversity.add(Float32Array.from(row, (value) => (total > 0 ? value / total : 1 / 7)));
        }
        expect(diversity.value).toBeGreaterThanOrEqual(1 / 7 - 1e-6);
        expect(diversity.value).toBeLessThanOrEqual(1);
      }),
    );
  });
});
