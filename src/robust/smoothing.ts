import { BallastError } from '../errors.js';
import type { Matrix } from '../runtime/tensor.js';

/** What each classifier's logits are multiplied with before they are mixed. */
export interface SmoothOptions {
  readonly standardScale?: number;
  readonly robustScale?: number;
}

/**
 * Mixes a standard and a robust classifier: `log((1-α) softmax(s_std g) + α softmax(s_rob h))` (Bai et al.,
 * "Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing", 2023, equation 4). Computed on
 * logarithms, so that no probability underflows: finite logits give finite answers, whatever their size.
 * @param standardLogits - g `[N, K]`
 * @param robustLogits - h `[N, K]`
 * @param alpha - the weight of the robust classifier in [0, 1]: one for all, or `[N]`
 * @returns log-probabilities `[N, K]`
 * @throws BallastError impossible where the shapes differ, an alpha lies outside [0, 1] or a logit is not finite
 */
export function smooth(
  standardLogits: Matrix,
  robustLogits: Matrix,
  alpha: number | Float32Array,
  { standardScale = 1, robustScale = 1 }: SmoothOptions = {},
): Matrix {
  const { rows, cols } = standardLogits;
  const alphas = typeof alpha === 'number' ? new Float64Array(rows).fill(alpha) : alpha;
  checkShapes(standardLogits, robustLogits, alphas.length);
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    const weight = checkedAlpha(alphas[row], row);
    const begin = row * cols;
    const standard = shiftOf(standardLogits, row, standardScale, 'standard') - Math.log1p(-weight);
    const robust = shiftOf(robustLogits, row, robustScale, 'robust') - Math.log(weight);
    for (let i = begin; i < begin + cols; i++) {
      out[i] = logAddExp(
        standardLogits.data[i] * standardScale - standard,
        robustLogits.data[i] * robustScale - robust,
      );
    }
  }
  return { data: out, rows, cols };
}

/** log Σ exp of a row's scaled logits: what has to be subtracted to make them log-probabilities. */
function shiftOf({ data, cols }: Matrix, row: number, scale: number, which: string): number {
  const begin = row * cols;
  let max = -Infinity;
  for (let i = begin; i < begin + cols; i++) max = Math.max(max, data[i] * scale);
  let sum = 0;
  for (let i = begin; i < begin + cols; i++) sum += Math.exp(data[i] * scale - max);
  if (Number.isFinite(sum)) return max + Math.log(sum);
  throw new BallastError(
    'impossible',
    `The ${which} classifier answered NaN or infinity for sample ${row}; its input may be out of range.`,
  );
}

function logAddExp(a: number, b: number): number {
  const max = Math.max(a, b);
  return max + Math.log1p(Math.exp(Math.min(a, b) - max));
}

function checkedAlpha(alpha: number, row: number): number {
  if (alpha >= 0 && alpha <= 1) return alpha;
  throw new BallastError('impossible', `Alpha is ${alpha} for sample ${row}; it lies in [0, 1].`);
}

function checkShapes(standard: Matrix, robust: Matrix, alphas: number): void {
  const { rows, cols } = standard;
  if (robust.rows === rows && robust.cols === cols && alphas === rows) return;
  throw new BallastError(
    'impossible',
    `The standard logits are [${rows}, ${cols}], the robust ones [${robust.rows}, ${robust.cols}] and alpha [${alphas}]; they must be [N, K], [N, K] and [N].`,
  );
}
