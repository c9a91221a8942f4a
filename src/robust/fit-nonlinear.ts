import { BallastError } from '../errors.js';
import { argmax, softmax, topTwo } from '../runtime/matrix.js';
import type { Matrix } from '../runtime/tensor.js';
import { transformLogits, type Nonlinearity } from './mixing.js';

/** What both classifiers say of the same pictures, clean and attacked. */
export interface LabelledLogits {
  /** Class of each picture, `[N]`. */
  readonly labels: Uint32Array;
  /** Logits `[N, K]`. */
  readonly standard: Matrix;
  readonly robust: Matrix;
}

/** Accuracies are shares of all pictures, in [0, 1]. */
export interface NonlinearFit {
  readonly nonlinearity: Nonlinearity;
  readonly alpha: number;
  readonly clean: Accuracies;
  readonly attacked: Accuracies;
}

export interface Accuracies {
  readonly standard: number;
  readonly robust: number;
  readonly mixed: number;
}

const SCALES = [0.1, 0.3, 1, 3, 10, 30];
const POWERS = [1, 2, 3, 4, 6, 8];
const SHIFTS = [-2, -1.5, -1, -0.5, 0, 0.5];
/** How far apart the finer search looks around the best of these, in parts of their steps. */
const FINER = [-0.5, -0.25, 0, 0.25, 0.5];

/**
 * Searches the numbers of nonlinear mixing (MixedNUTS, section 4.2): those with the best clean accuracy, where alpha
 * is so large that the share `kept` of the robust classifier's correct answers under attack stays, whatever the
 * standard classifier says. An answer stays for certain where its margin is at least (1 - α) / α, so alpha follows
 * from the margins alone.
 * @param clean - both classifiers on clean pictures
 * @param attacked - both on the attacked copies
 * @param kept - in (0, 1)
 * @param onProgress - told the share of the search that is done
 * @throws BallastError invalid-input where the robust classifier is right on no attacked picture
 */
export function fitNonlinear(
  clean: LabelledLogits,
  attacked: LabelledLogits,
  kept: number,
  onProgress: (share: number) => void = () => undefined,
): NonlinearFit {
  const standardClean = softmax(clean.standard);
  const held = correctRows(attacked.robust, attacked.labels);
  if (held.rows === 0) {
    throw new BallastError(
      'invalid-input',
      'The robust classifier answers none of the attacked pictures right, so there is nothing to keep.',
    );
  }
  const judge = (nonlinearity: Nonlinearity): { alpha: number; accuracy: number } => {
    const margins = marginsOf(softmax(transformLogits(held, nonlinearity)));
    const margin = margins[Math.min(margins.length - 1, Math.floor((1 - kept) * margins.length))];
    // Rounded up: a little more of the robust classifier only keeps more.
    const alpha = Math.min(1, Math.ceil(1e4 / (1 + margin)) / 1e4);
    return { alpha, accuracy: mixedAccuracy(standardClean, clean, nonlinearity, alpha) };
  };
  let best = { nonlinearity: { scale: 1, power: 1, shift: 0 }, alpha: 1, accuracy: -1 };
  const tryAll = (candidates: readonly Nonlinearity[], from: number): void => {
    candidates.forEach((nonlinearity, i) => {
      const judged = judge(nonlinearity);
      if (judged.accuracy > best.accuracy) best = { nonlinearity, ...judged };
      onProgress(from + ((i + 1) / candidates.length) * 0.5);
    });
  };
  tryAll(grid(SCALES, POWERS, SHIFTS), 0);
  const { scale, power, shift } = best.nonlinearity;
  tryAll(
    grid(
      FINER.map((step) => scale * 2 ** step),
      FINER.map((step) => power + step),
      FINER.map((step) => shift + step),
    ),
    0.5,
  );
  const accuraciesOn = (set: LabelledLogits): Accuracies => ({
    standard: accuracy(set.standard, set.labels),
    robust: accuracy(set.robust, set.labels),
    mixed: mixedAccuracy(softmax(set.standard), set, best.nonlinearity, best.alpha),
  });
  return {
    nonlinearity: best.nonlinearity,
    alpha: best.alpha,
    clean: accuraciesOn(clean),
    attacked: accuraciesOn(attacked),
  };
}

function grid(
  scales: readonly number[],
  powers: readonly number[],
  shifts: readonly number[],
): Nonlinearity[] {
  return scales.flatMap((scale) =>
    powers.flatMap((power) => shifts.map((shift) => ({ scale, power, shift }))),
  );
}

/** The rows that are answered right. */
function correctRows(logits: Matrix, labels: Uint32Array): Matrix {
  const { cols } = logits;
  const right = Array.from(labels.keys()).filter((row) => argmax(logits, row) === labels[row]);
  const data = new Float32Array(right.length * cols);
  right.forEach((row, i) => {
    data.set(logits.data.subarray(row * cols, (row + 1) * cols), i * cols);
  });
  return { data, rows: right.length, cols };
}

/** The most probable class's lead over the next, for each row, the least first. */
function marginsOf(probabilities: Matrix): Float64Array {
  const margins = Float64Array.from({ length: probabilities.rows }, (_, row) => {
    const [first, second] = topTwo(probabilities, row);
    return first - second;
  });
  return margins.sort();
}

function mixedAccuracy(
  standard: Matrix,
  { robust, labels }: LabelledLogits,
  nonlinearity: Nonlinearity,
  alpha: number,
): number {
  const mixed = softmax(transformLogits(robust, nonlinearity));
  const data = mixed.data.map((value, i) => alpha * value + (1 - alpha) * standard.data[i]);
  return accuracy({ ...mixed, data }, labels);
}

function accuracy(matrix: Matrix, labels: Uint32Array): number {
  let right = 0;
  for (const [row, label] of labels.entries()) if (argmax(matrix, row) === label) right++;
  return right / labels.length;
}
