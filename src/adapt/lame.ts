import { setImmediate } from 'node:timers/promises';
import { BallastError } from '../errors.js';
import type { Provider } from '../runtime/providers.js';
import type { Matrix } from '../runtime/tensor.js';
import type { Affinity } from './affinity.js';
import { solveInThread } from './lame-client.js';

export type { Affinity } from './affinity.js';
export { closeLame } from './lame-client.js';

/** How LAME adapts a batch; whatever is left out is as the paper found best overall. */
export interface LameOptions {
  /** How samples pull each other; `knn` when left out. */
  readonly affinity?: Affinity;
  /** Neighbours of a sample (`knn`), or the neighbour whose distance sets the width (`rbf`, counting the sample); 5 when left out. */
  readonly k?: number;
  /** Whether a kNN affinity is made symmetric, (W + Wᵀ) / 2; false when left out. The others are so anyway. */
  readonly symmetrize?: boolean;
  /** Weight λ of the pull, from 0 (none: the probabilities come back renormalised) to 1e6; 1 when left out. */
  readonly lambda?: number;
  /** Most passes to make, at least 1; 100 when left out. */
  readonly maxSteps?: number;
  /** onnxruntime's execution providers, the preferred first; each must work on this machine. `['cpu']` when left out. */
  readonly providers?: readonly Provider[];
}

/** What LAME made of a batch. */
export interface LameResult {
  /** Z `[N, K]`; each row sums to 1. */
  readonly probabilities: Matrix;
  /** How many passes it took. */
  readonly iterations: number;
  /** The energy after the last pass. */
  readonly energy: number;
}

const MAX_LAMBDA = 1e6;

/** Numbers that are copied before the event loop gets its turn: 256 KB into fresh memory take up to a millisecond. */
const COPY_SLICE = 2 ** 16;

/**
 * Laplacian adjusted maximum-likelihood estimation (Boudiaf et al., "Parameter-free Online Test-time Adaptation",
 * CVPR 2022): corrects the probabilities of a batch so that samples with similar features agree. It helps where the
 * samples of a batch belong together (one stream, one camera, one user). Each answer depends on the whole batch.
 *
 * Runs in a thread of its own: the event loop is free meanwhile. The arrays given are copied; they must not change
 * before the promise settles.
 * @param probabilities - q `[N, K]`, not negative; rows need not sum to 1
 * @param features - f `[N, D]` of the same samples, of any scale
 * @returns adapted probabilities `[N, K]`, the number of passes and the energy after the last
 * @throws BallastError invalid-input where shapes, options or numbers are wrong (a row with a number that is not
 * finite is named); unavailable where a provider does not work, or after `closeLame`; internal where the thread dies
 */
export async function lame(
  probabilities: Matrix,
  features: Matrix,
  options: LameOptions = {},
): Promise<LameResult> {
  const settings = checkedSettings(options);
  checkMatrix('probabilities', probabilities);
  checkMatrix('features', features);
  const { rows, cols } = probabilities;
  if (rows !== features.rows) {
    throw new BallastError(
      'invalid-input',
      `There are ${rows} rows of probabilities and ${features.rows} of features; both need one row for each sample.`,
    );
  }
  const { assignments, iterations, energy } = await solveInThread({
    ...settings,
    probabilities: { data: await copied(probabilities.data), rows, cols },
    features: { data: await copied(features.data), rows, cols: features.cols },
  });
  return { probabilities: { data: assignments, rows, cols }, iterations, energy };
}

function checkedSettings(options: LameOptions): Required<LameOptions> {
  const {
    affinity = 'knn',
    k = 5,
    symmetrize = false,
    lambda = 1,
    maxSteps = 100,
    providers = ['cpu'],
  } = options;
  if (!(['knn', 'rbf', 'linear'] as readonly string[]).includes(affinity)) {
    throw new BallastError('invalid-input', `affinity is "${affinity}"; it may be knn, rbf or linear.`);
  }
  for (const [name, value] of Object.entries({ k, maxSteps })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new BallastError('invalid-input', `${name} is ${value}; it must be a whole number of at least 1.`);
  }
  if (!(lambda >= 0 && lambda <= MAX_LAMBDA)) {
    throw new BallastError('invalid-input', `lambda is ${lambda}; it must be from 0 to ${MAX_LAMBDA}.`);
  }
  return { affinity, k, symmetrize, lambda, maxSteps, providers: [...providers] };
}

function checkMatrix(name: string, { data, rows, cols }: Matrix): void {
  const whole = Number.isSafeInteger(rows) && Number.isSafeInteger(cols);
  if (data instanceof Float32Array && whole && rows >= 1 && cols >= 1 && data.length === rows * cols) return;
  throw new BallastError(
    'invalid-input',
    `The ${name} hold ${data.length} numbers for ${rows} rows and ${cols} columns; ` +
      'they need at least one row and one column, and a Float32Array of rows × columns numbers.',
  );
}

async function copied(data: Float32Array): Promise<Float32Array> {
  if (data.length <= COPY_SLICE) return data.slice();
  // Not set to zero, which would touch all of it at once.
  const copy = new Float32Array(Buffer.allocUnsafeSlow(data.byteLength).buffer);
  for (let start = 0; start < data.length; start += COPY_SLICE) {
    copy.set(data.subarray(start, start + COPY_SLICE), start);
    await setImmediate();
  }
  return copy;
}
