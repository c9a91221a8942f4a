import { BallastError } from '../errors.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import type { Matrix } from '../runtime/tensor.js';
import { dot, FourierFeatures, scaleToUnit } from './fourier-features.js';

/** What is kept of the samples that later traffic is compared with: no sample, and none can be told from it. */
export interface DriftReference {
  /** D of the features. */
  readonly features: number;
  /** σ of the kernel: the median distance of two of the samples, at length 1. */
  readonly bandwidth: number;
  /** What the frequencies were drawn from. */
  readonly seed: number;
  /** N. */
  readonly samples: number;
  /** Mean embedding of the samples, `[R]`. */
  readonly mean: Float64Array;
  /** n: samples of a window that is compared with them. */
  readonly window: number;
  /** The 99 % quantile of the statistic for windows of n of the samples themselves, above 0. */
  readonly threshold: number;
}

/** How a reference is made. */
export interface DriftOptions {
  /** Of the frequencies, and of the windows that the threshold comes from. */
  readonly seed: number;
  /** R, even; 128 where left out. */
  readonly size?: number;
  /** Samples of a window, at most half of those that there are; 256 where left out. */
  readonly window?: number;
}

/** A reference of fewer samples would call chance drift, and drift chance. */
export const LEAST_SAMPLES = 64;

const EMBEDDING_SIZE = 128;
const WINDOW = 256;
/** Windows that the threshold comes from, and the share of them that stays at or below it. */
const TRIALS = 1000;
const QUANTILE = 0.99;
/** The median distance is that of all pairs of so many samples: 131,000 pairs. */
const MEDIAN_SAMPLES = 512;

/** Streams of random numbers, beside that of the frequencies. */
const FOR_MEDIAN = 1;
const FOR_WINDOWS = 2;

/** Some samples, as far as the statistic looks at them. */
export interface Embedded {
  /** Mean of their embeddings, `[R]`. */
  readonly mean: Float64Array;
  /** How many they are, 2 at least. */
  readonly count: number;
}

/**
 * The squared maximum mean discrepancy of two groups of samples, in its unbiased form (Gretton et al., "A kernel
 * two-sample test", JMLR 2012, lemma 6), over embeddings z of length 1:
 *
 * `(n‖a‖² - 1) / (n - 1) + (m‖b‖² - 1) / (m - 1) - 2 aᵀb`
 *
 * with a and b the mean embeddings of n and m samples. Its mean is the squared distance of the two distributions:
 * 0 where they are the same, so that about half of the values are below 0 then.
 */
export function squaredMmd(one: Embedded, other: Embedded): number {
  let [squaresOfOne, squaresOfOther, products] = [0, 0, 0];
  for (let i = 0; i < one.mean.length; i++) {
    squaresOfOne += one.mean[i] * one.mean[i];
    squaresOfOther += other.mean[i] * other.mean[i];
    products += one.mean[i] * other.mean[i];
  }
  return within(squaresOfOne, one.count) + within(squaresOfOther, other.count) - 2 * products;
}

/** The mean kernel of two different samples of a group, of which the squared length of the mean embedding is known. */
function within(squares: number, count: number): number {
  return (count * squares - 1) / (count - 1);
}

/**
 * Makes the reference that later traffic is compared with. The threshold is that of a permutation test: windows of n
 * samples are drawn without replacement, 1,000 times, and compared with the N - n samples that are not in them, so
 * that no window is compared with itself. The same features and seed give the same reference.
 * @param features - penultimate features `[N, D]` of samples like those that the model was evaluated on
 * @throws BallastError invalid-input where they are fewer than 64, not finite, or (nearly) all the same
 */
export function driftReference(features: Matrix, { seed, ...options }: DriftOptions): DriftReference {
  const { data, rows, cols } = features;
  if (rows < LEAST_SAMPLES) {
    throw new BallastError(
      'invalid-input',
      `A reference for drift needs ${LEAST_SAMPLES} samples at least, some thousands at best; there are ${rows}.`,
    );
  }
  const size = options.size ?? EMBEDDING_SIZE;
  const bandwidth = medianDistance(features, new SeededRandom(seed, FOR_MEDIAN));
  const embedding = new FourierFeatures(cols, { bandwidth, size, seed });
  const embeddings = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    embedding.embed(data.subarray(row * cols, (row + 1) * cols), embeddings, row * size);
  }
  const window = Math.min(options.window ?? WINDOW, Math.floor(rows / 2));
  const random = new SeededRandom(seed, FOR_WINDOWS);
  const { mean, threshold } = calibrate({ data: embeddings, rows, cols: size }, window, random);
  if (!(threshold > 0)) throw tooAlike();
  return { features: cols, bandwidth, seed, samples: rows, mean, window, threshold };
}

/**
 * The mean embedding, and the quantile of the statistic for windows of the samples themselves.
 * @param embeddings - `[N, R]`
 * @param window - n, N / 2 at most
 */
function calibrate(
  embeddings: Matrix,
  window: number,
  random: SeededRandom,
): { mean: Float64Array; threshold: number } {
  const { rows, cols } = embeddings;
  const total = sumOf(
    embeddings,
    Uint32Array.from({ length: rows }, (_, row) => row),
  );
  const statistics = Float64Array.from({ length: TRIALS }, () => {
    const drawn = sumOf(embeddings, random.permutation(rows).subarray(0, window));
    const rest = total.map((sum, i) => (sum - drawn[i]) / (rows - window));
    return squaredMmd(
      { mean: drawn.map((sum) => sum / window), count: window },
      { mean: rest, count: rows - window },
    );
  });
  statistics.sort();
  return {
    mean: Float64Array.from({ length: cols }, (_, i) => total[i] / rows),
    threshold: statistics[Math.ceil(QUANTILE * TRIALS) - 1],
  };
}

function sumOf({ data, cols }: Matrix, rows: Uint32Array): Float64Array {
  const sum = new Float64Array(cols);
  for (const row of rows) {
    for (let i = 0; i < cols; i++) sum[i] += data[row * cols + i];
  }
  return sum;
}

/** The median distance of two samples at length 1, over all pairs of up to 512 of them. */
function medianDistance({ data, rows, cols }: Matrix, random: SeededRandom): number {
  const sample = (row: number): Float32Array => data.subarray(row * cols, (row + 1) * cols);
  const scales = Float64Array.from({ length: rows }, (_, row) => scaleToUnit(sample(row)));
  const broken = scales.findIndex((scale) => !Number.isFinite(scale));
  if (broken >= 0) {
    throw new BallastError(
      'invalid-input',
      `Row ${broken} of the features holds a value that is not finite.`,
    );
  }
  const chosen = random.permutation(rows).subarray(0, MEDIAN_SAMPLES);
  const distances = new Float64Array((chosen.length * (chosen.length - 1)) / 2);
  let at = 0;
  for (const [i, one] of chosen.entries()) {
    for (const other of chosen.subarray(0, i)) {
      const cosine = scales[one] * scales[other] * dot(sample(one), data, other * cols);
      const squares = (scales[one] > 0 ? 1 : 0) + (scales[other] > 0 ? 1 : 0);
      distances[at++] = Math.sqrt(Math.max(0, squares - 2 * cosine));
    }
  }
  distances.sort();
  const median = distances[Math.floor(distances.length / 2)];
  // Below this, rounding of float32 features is all that tells two samples apart.
  if (median < 1e-6) throw tooAlike();
  return median;
}

function tooAlike(): BallastError {
  return new BallastError(
    'invalid-input',
    'The samples for a reference have (nearly) all the same features; different pictures are needed, or classifier.features in model.yaml names the wrong tensor.',
  );
}
