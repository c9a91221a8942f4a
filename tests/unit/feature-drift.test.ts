import { describe, expect, it } from 'vitest';
import { ClassDiversity } from '#ballast/adapt/class-diversity.js';
import { DriftWindow } from '#ballast/adapt/drift-window.js';
import { driftReference, squaredMmd, type DriftReference } from '#ballast/adapt/feature-drift.js';
import { FourierFeatures } from '#ballast/adapt/fourier-features.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

const COLS = 32;
const CLASSES = 6;

/** What changes features: `shift` is added to each, noise of deviation `noise` too. */
interface Change {
  readonly shift?: number;
  readonly noise?: number;
  /** Classes that there are; all where left out. */
  readonly classes?: number;
}

/** Features like those of a network: a class each, rectified. */
function drawFeatures(
  rows: number,
  seed: number,
  { shift = 0, noise = 0, classes = CLASSES }: Change = {},
): Matrix {
  const centres = new GaussianNoise(7);
  const means = Float32Array.from({ length: CLASSES * COLS }, () => centres.next());
  const [normal, uniform] = [new GaussianNoise(seed), new SeededRandom(seed, 1)];
  const data = new Float32Array(rows * COLS);
  for (let row = 0; row < rows; row++) {
    const label = Math.floor(uniform.uniform() * classes);
    for (let col = 0; col < COLS; col++) {
      const value = means[label * COLS + col] + 0.7 * normal.next() + shift + noise * normal.next();
      data[row * COLS + col] = Math.max(0, value);
    }
  }
  return { data, rows, cols: COLS };
}

function rowOf({ data, cols }: Matrix, row: number): Float32Array {
  return data.subarray(row * cols, (row + 1) * cols);
}

/** The gauge after each of some windows that do not overlap. */
function ratios(reference: DriftReference, windows: number, seed: number, change?: Change): number[] {
  const features = drawFeatures(windows * reference.window, seed, change);
  const window = new DriftWindow(reference);
  const found: number[] = [];
  for (let row = 0; row < features.rows; row++) {
    window.add(rowOf(features, row));
    if ((row + 1) % reference.window === 0) found.push(window.ratio!);
  }
  return found;
}

const shareAbove = (values: readonly number[]): number =>
  values.filter((value) => value > 1).length / values.length;

/** The unbiased squared discrepancy under the Gaussian kernel, over all pairs. */
function directMmd(one: Matrix, other: Matrix, bandwidth: number): number {
  const unit = (matrix: Matrix): number[][] =>
    Array.from({ length: matrix.rows }, (_, row) => {
      const values = [...rowOf(matrix, row)];
      const norm = Math.hypot(...values);
      return values.map((value) => value / norm);
    });
  const [xs, ys] = [unit(one), unit(other)];
  const kernel = (x: number[], y: number[]): number =>
    Math.exp(-x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0) / (2 * bandwidth ** 2));
  const inside = (rows: number[][]): number =>
    rows.reduce((sum, x, i) => sum + rows.reduce((s, y, j) => (i === j ? s : s + kernel(x, y)), 0), 0) /
    (rows.length * (rows.length - 1));
  const across =
    xs.reduce((sum, x) => sum + ys.reduce((s, y) => s + kernel(x, y), 0), 0) / (xs.length * ys.length);
  return inside(xs) + inside(ys) - 2 * across;
}

function embedded(features: Matrix, embedding: FourierFeatures): { mean: Float64Array; count: number } {
  const mean = new Float64Array(embedding.size);
  const one = new Float32Array(embedding.size);
  for (let row = 0; row < features.rows; row++) {
    embedding.embed(rowOf(features, row), one, 0);
    one.forEach((value, i) => (mean[i] += value / features.rows));
  }
  return { mean, count: features.rows };
}

describe('a reference for drift', () => {
  const reference = driftReference(drawFeatures(3000, 1), { seed: 3 });

  it('keeps what later samples are compared with', () => {
    expect(reference).toMatchObject({ features: COLS, samples: 3000, window: 256, seed: 3 });
    expect(reference.mean).toHaveLength(128);
    expect(reference.threshold).toBeGreaterThan(0);
    expect(reference.threshold).toBeLessThan(0.02);
    // Of vectors of length 1 without negative values no two are farther apart than √2.
    expect(reference.bandwidth).toBeGreaterThan(0.3);
    expect(reference.bandwidth).toBeLessThan(Math.SQRT2);
  });

  it('calls at most 3 % of the windows of samples like its own drift, and not none of a thousand', () => {
    const values = ratios(reference, 1000, 11);
    expect(shareAbove(values)).toBeLessThanOrEqual(0.03);
    expect(shareAbove(values)).toBeGreaterThan(0);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.2);
  });

  it.each([
    ['a shift of the mean', { shift: 0.7 }],
    ['noise on the features', { noise: 2 }],
    ['classes that no longer come', { classes: 2 }],
  ])('calls %s drift in every window', (_, change) => {
    expect(shareAbove(ratios(reference, 40, 12, change))).toBe(1);
  });

  it('tells more drift from less', () => {
    const mean = (change: Change): number =>
      ratios(reference, 10, 13, change).reduce((sum, value) => sum + value, 0) / 10;
    const [none, some, more] = [mean({}), mean({ shift: 0.5 }), mean({ shift: 1 })];
    expect(some).toBeGreaterThan(none + 1);
    expect(more).toBeGreaterThan(some * 2);
  });

  it('holds for a small reference, whose windows are half of it', () => {
    const small = driftReference(drawFeatures(200, 5), { seed: 1 });
    expect(small.window).toBe(100);
    expect(shareAbove(ratios(small, 40, 14, { shift: 1.2 }))).toBe(1);
    // Its own chance error stays, so that one reference alone shows little: many of them are looked at.
    const shares = Array.from({ length: 10 }, (_, i) =>
      shareAbove(ratios(driftReference(drawFeatures(200, 100 + i), { seed: i }), 20, 500 + i)),
    );
    expect(shares.reduce((sum, share) => sum + share) / shares.length).toBeLessThanOrEqual(0.03);
  });

  it('is the same for the same features and seed, and another for another seed', () => {
    const features = drawFeatures(300, 2);
    const once = driftReference(features, { seed: 1 });
    expect(driftReference(features, { seed: 1 })).toEqual(once);
    expect(driftReference(features, { seed: 2 }).mean).not.toEqual(once.mean);
  });

  it.each([
    ['fewer than 64 samples', drawFeatures(63, 1), /64 samples at least.*there are 63/],
    [
      'samples that are all the same',
      { data: new Float32Array(100 * COLS).fill(2), rows: 100, cols: COLS },
      /all the same features/,
    ],
    [
      'samples of zeros',
      { data: new Float32Array(100 * COLS), rows: 100, cols: COLS },
      /all the same features/,
    ],
    [
      'a value that is not finite',
      { ...drawFeatures(100, 1), data: drawFeatures(100, 1).data.fill(Number.NaN, 5 * COLS, 5 * COLS + 1) },
      /Row 5 .*not finite/,
    ],
  ])('refuses %s', (_, features, message) => {
    expect(() => driftReference(features, { seed: 1 })).toThrow(message);
  });
});

describe('the statistic', () => {
  it.each([
    ['the same distribution', {}, 0],
    ['a shift', { shift: 1 }, 0.01],
    ['other classes', { classes: 1 }, 0.1],
  ])('is the direct one over all pairs, within the error of 4096 frequencies: %s', (_, change, least) => {
    const [one, other] = [drawFeatures(300, 21), drawFeatures(200, 22, change)];
    const bandwidth = 0.8;
    const direct = directMmd(one, other, bandwidth);
    const size = 8192;
    const draws = [1, 2, 3, 4].map((seed) => {
      const embedding = new FourierFeatures(COLS, { bandwidth, size, seed });
      return squaredMmd(embedded(one, embedding), embedded(other, embedding));
    });
    // Each frequency gives a value of about the statistic's own size; 4096 of them err by a 64th of that.
    for (const draw of draws) expect(Math.abs(draw - direct)).toBeLessThan(0.08 * Math.abs(direct) + 2e-4);
    if (least > 0) expect(direct).toBeGreaterThan(least);
  });

  it('is what two samples a group give by hand', () => {
    // Mean kernels: 0.5 within the first group, 0.25 within the second; aᵀb = 0.3.
    const a = { mean: Float64Array.of(Math.sqrt(0.75), 0), count: 2 };
    const along = 0.3 / Math.sqrt(0.75);
    const b = { mean: Float64Array.of(along, Math.sqrt(0.625 - along ** 2)), count: 2 };
    expect(squaredMmd(a, b)).toBeCloseTo(0.5 + 0.25 - 0.6, 12);
  });

  it('embeds samples at length 1, whatever their scale, so that products are kernels', () => {
    const embedding = new FourierFeatures(COLS, { bandwidth: 0.9, size: 4096, seed: 5 });
    const [x, y] = [rowOf(drawFeatures(2, 31), 0), rowOf(drawFeatures(2, 31), 1)];
    const of = (sample: Float32Array): Float32Array => {
      const into = new Float32Array(4096);
      expect(embedding.embed(sample, into, 0)).toBe(true);
      return into;
    };
    const product = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, value, i) => sum + value * b[i], 0);
    const cosine = product(x, y) / Math.sqrt(product(x, x) * product(y, y));
    expect(product(of(x), of(x))).toBeCloseTo(1, 5);
    expect(Math.abs(product(of(x), of(y)) - Math.exp(-(2 - 2 * cosine) / (2 * 0.81)))).toBeLessThan(0.05);
    expect(product(of(x), of(x.map((value) => value * 1e18)))).toBeCloseTo(1, 4);
  });
});

describe('a window of drift', () => {
  const reference = driftReference(drawFeatures(400, 1), { seed: 3, window: 50 });

  it('says nothing until it is full, and forgets what left it', () => {
    const window = new DriftWindow(reference);
    const [strange, usual] = [drawFeatures(50, 41, { shift: 2 }), drawFeatures(50, 42)];
    for (let row = 0; row < 49; row++) window.add(rowOf(strange, row));
    expect(window.ratio).toBeUndefined();
    window.add(rowOf(strange, 49));
    expect(window.ratio).toBeGreaterThan(3);
    for (let row = 0; row < 50; row++) window.add(rowOf(usual, row));
    const fresh = new DriftWindow(reference);
    for (let row = 0; row < 50; row++) fresh.add(rowOf(usual, row));
    expect(window.ratio).toBeCloseTo(fresh.ratio!, 6);
  });

  it('leaves out samples that are not finite', () => {
    const window = new DriftWindow(reference);
    const usual = drawFeatures(50, 42);
    for (let row = 0; row < 50; row++) {
      window.add(new Float32Array(COLS).fill(row % 2 === 0 ? Number.NaN : Infinity));
      window.add(rowOf(usual, row));
    }
    const fresh = new DriftWindow(reference);
    for (let row = 0; row < 50; row++) fresh.add(rowOf(usual, row));
    expect(window.ratio).toBe(fresh.ratio);
  });
});

describe('the diversity of classes', () => {
  const oneHot = (k: number, classes: number): Float32Array =>
    Float32Array.from({ length: classes }, (_, i) => (i === k ? 1 : 0));

  it('is 1 over the number of classes for one class, and 1 for all of them', () => {
    const [single, all] = [new ClassDiversity(10), new ClassDiversity(10)];
    expect(single.value).toBeUndefined();
    for (let i = 0; i < 1000; i++) {
      single.add(oneHot(3, 10));
      all.add(oneHot(i % 10, 10));
    }
    expect(single.value).toBeCloseTo(0.1, 9);
    expect(all.value).toBeGreaterThan(0.999);
    expect(all.value).toBeLessThanOrEqual(1);
  });

  it('is the exponential of the entropy of the mean: 4 of 8 classes are a half', () => {
    const diversity = new ClassDiversity(8);
    for (let i = 0; i < 128; i++) diversity.add(oneHot(i % 4, 8));
    expect(diversity.value).toBeCloseTo(0.5, 9);
  });

  it('follows a change of the traffic within some windows', () => {
    const diversity = new ClassDiversity(10);
    for (let i = 0; i < 2000; i++) diversity.add(oneHot(i % 10, 10));
    // 128 samples are an effective window's weight of 1 - (1 - 2 / 257)^128 = 63 %.
    for (let i = 0; i < 128; i++) diversity.add(oneHot(0, 10));
    const shares = [0.0368 + 0.632, ...new Array<number>(9).fill(0.0368)];
    const expected = Math.exp(-shares.reduce((sum, share) => sum + share * Math.log(share), 0)) / 10;
    expect(Math.abs(diversity.value! - expected)).toBeLessThan(0.01);
  });

  it('shows a thousand classes, where traffic has them', () => {
    const diversity = new ClassDiversity(1000);
    const random = new SeededRandom(1);
    for (let i = 0; i < 20_000; i++) diversity.add(oneHot(Math.floor(random.uniform() * 1000), 1000));
    expect(diversity.value).toBeGreaterThan(0.85);
  });
});
