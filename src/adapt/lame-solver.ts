import type { Provider } from '../runtime/providers.js';
import type { Matrix } from '../runtime/tensor.js';
import { buildAffinity, type AffinityMatrix, type AffinityOptions } from './affinity.js';
import { measureRows, type Float, type Precision } from './feature-rows.js';
import { kernelTakes, runKernel } from './lame-kernel.js';
import { computeGram, runFixedPoint, type FixedPoint } from './lame-sessions.js';
import { checkProbabilities } from './probabilities.js';

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
  /** What makes the passes: onnxruntime, or where it can the kernel. */
  readonly passes?: 'onnxruntime' | 'kernel';
}

/**
 * Measured: up to this many probabilities (N K) and products (N N D), float64 costs at most a millisecond more than
 * float32, and float32 at most a digit or two of the answer. Above, float64 takes up to five times as long.
 */
const FLOAT64_CELLS = 2 ** 12;
const FLOAT64_PRODUCTS = 1.5e6;

/** Measured: the kernel takes as long for a neighbour's row as onnxruntime for so many columns of a matrix product. */
const KERNEL_COLUMNS = 6;

/**
 * Solves a problem in this thread, which it holds for as long as that takes. May overwrite its arrays.
 * @returns Z `[N, K]`, the passes that it took, the energy of the last one
 * @throws BallastError invalid-input where a probability is negative or a number not finite; it names the row
 */
export async function solveLame(problem: LameProblem, choices: SolverChoices = {}): Promise<FixedPoint> {
  const precision = choices.precision ?? precisionFor(problem);
  const { probabilities, providers, lambda } = problem;
  const k = Math.min(problem.k, probabilities.rows - 1);
  const mayTakeKernel =
    choices.passes !== 'onnxruntime' &&
    precision === 'float32' &&
    providers[0] === 'cpu' &&
    kernelTakes(probabilities, k, lambda);
  const sparse = mayTakeKernel && k * KERNEL_COLUMNS <= probabilities.rows ? 'neighbours' : undefined;
  const features = measureRows(problem.features, precision);
  const gram = (start: number, count: number): Promise<Float> =>
    computeGram(features, start, count, providers);
  const affinity = await buildAffinity(features, gram, problem, choices.form ?? sparse);
  if (mayTakeKernel && affinity.form === 'neighbours') {
    const result = await runKernel(probabilities, affinity, problem);
    if (result !== undefined) return result;
  }
  checkProbabilities(probabilities);
  const { data } = probabilities;
  return runFixedPoint(precision === 'float64' ? new Float64Array(data) : data, affinity, problem);
}

function precisionFor({ probabilities: { rows, cols }, features }: LameProblem): Precision {
  const small = rows * cols <= FLOAT64_CELLS && rows * rows * features.cols <= FLOAT64_PRODUCTS;
  return small ? 'float64' : 'float32';
}
