import type { Provider } from '../runtime/providers.js';
import type { Matrix } from '../runtime/tensor.js';
import { BallastError } from '../errors.js';
import { buildAffinity, type AffinityMatrix, type AffinityOptions } from './affinity.js';
import { computeGram, runFixedPoint, type FixedPoint } from './lame-sessions.js';
import { measureRows, type Float, type Precision } from './feature-rows.js';

/** Everything that one call of LAME asks for. */
export interface LameProblem extends AffinityOptions {
  /** q `[N, K]`. */
  readonly probabilities: Matrix;
  /** f `[N, D]`, as the model gives them. */
  readonly features: Matrix;
  readonly lambda: number;
  readonly maxSteps: number;
  /** Execution providers, the preferred first. */
  readonly providers: readonly Provider[];
}

/** What the solver chooses by size, for tests to choose instead. */
export interface SolverChoices {
  readonly precision?: Precision;
  readonly form?: AffinityMatrix['form'];
}

/**
 * Measured: up to this many probabilities (N K) and products (N N D), float64 costs at most a millisecond more than
 * float32, and float32 at most a digit or two of the answer. Above, float64 takes up to five times as long.
 */
const FLOAT64_CELLS = 2 ** 12;
const FLOAT64_PRODUCTS = 1.5e6;

/**
 * Solves a problem in this thread, which it holds for as long as that takes. May overwrite the features.
 * @returns Z `[N, K]`, the passes that it took, the energy of the last one
 * @throws BallastError invalid-input where a probability is negative or a number not finite; it names the row
 */
export async function solveLame(problem: LameProblem, choices: SolverChoices = {}): Promise<FixedPoint> {
  const precision = choices.precision ?? precisionFor(problem);
  const probabilities = checkedProbabilities(problem.probabilities, precision);
  const features = measureRows(problem.features, precision);
  const gram = (start: number, count: number): Promise<Float> =>
    computeGram(features, start, count, problem.providers);
  const affinity = await buildAffinity(features, gram, problem, choices.form);
  return runFixedPoint(probabilities, affinity, problem);
}

function precisionFor({ probabilities: { rows, cols }, features }: LameProblem): Precision {
  const small = rows * cols <= FLOAT64_CELLS && rows * rows * features.cols <= FLOAT64_PRODUCTS;
  return small ? 'float64' : 'float32';
}

function checkedProbabilities({ data, cols }: Matrix, precision: Precision): Float {
  if (!allMayBe(data)) {
    const cell = data.findIndex((value) => !(value >= 0 && value < Infinity));
    const what = Number.isFinite(data[cell]) ? 'negative' : 'not finite';
    throw new BallastError(
      'invalid-input',
      `Row ${Math.floor(cell / cols)} of the probabilities holds a value that is ${what}.`,
    );
  }
  return precision === 'float64' ? new Float64Array(data) : data;
}

/**
 * Whether no number is negative, NaN or infinite: v - |v| is 0 for what may be, and NaN or less for all else. No branch,
 * and four sums, since each addition waits for the one before.
 */
function allMayBe(data: Float32Array): boolean {
  let [first, second, third, fourth] = [0, 0, 0, 0];
  const whole = data.length - (data.length % 4);
  for (let cell = 0; cell < whole; cell += 4) {
    first += data[cell] - Math.abs(data[cell]);
    second += data[cell + 1] - Math.abs(data[cell + 1]);
    third += data[cell + 2] - Math.abs(data[cell + 2]);
    fourth += data[cell + 3] - Math.abs(data[cell + 3]);
  }
  for (let cell = whole; cell < data.length; cell++) first += data[cell] - Math.abs(data[cell]);
  return first + second + third + fourth === 0;
}
