import type { Matrix } from '../runtime/tensor.js';

/** How a mixing network's answer becomes alpha. */
export interface AlphaScaling {
  /** Running mean and variance of the network's last normalisation, which has no affine part. */
  readonly mean: number;
  readonly variance: number;
  readonly epsilon: number;
  readonly gammaScale: number;
  readonly gammaBias: number;
  /** Alpha lies in [alphaBias, alphaBias + alphaScale]. */
  readonly alphaScale: number;
  readonly alphaBias: number;
}

/**
 * The weight of the robust classifier for each sample (Bai et al., 2023, section 4):
 * `alphaScale · sigmoid(gammaScale · (gamma - mean) / √(variance + epsilon) + gammaBias) + alphaBias`.
 * @param gamma - what the mixing network answers, `[N]`
 * @returns alpha `[N]`
 */
export function mixingAlpha(gamma: Float32Array, scaling: AlphaScaling): Float32Array {
  const { mean, variance, epsilon, gammaScale, gammaBias, alphaScale, alphaBias } = scaling;
  const deviation = Math.sqrt(variance + epsilon);
  return gamma.map((value) => {
    const normalised = (value - mean) / deviation;
    return alphaScale / (1 + Math.exp(-(gammaScale * normalised + gammaBias))) + alphaBias;
  });
}

/** The three numbers of nonlinear mixing. */
export interface Nonlinearity {
  /** s: the scale of the transformed logits. */
  readonly scale: number;
  /** p: the power; above 1 it widens the gap between sure and unsure answers. */
  readonly power: number;
  /** c: added before the GELU. */
  readonly shift: number;
}

const LAYER_NORM_EPSILON = 1e-5;

/**
 * Transforms a robust classifier's logits so that its sure answers outvote the standard classifier and its unsure
 * ones do not: `s · |z|^p · sign(z)` with `z = GELU(LN(h) + c)` (Bai, Zhou, Patel, Sojoudi, "MixedNUTS", TMLR 2024).
 * The order of the logits stays the same, except among those far below the mean.
 * @param logits - h `[N, K]`
 * @returns `[N, K]`
 */
export function transformLogits({ data, rows, cols }: Matrix, { scale, power, shift }: Nonlinearity): Matrix {
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const logits = data.subarray(row * cols, (row + 1) * cols);
    let mean = 0;
    for (const logit of logits) mean += logit / cols;
    let variance = 0;
    for (const logit of logits) variance += (logit - mean) ** 2 / cols;
    const deviation = Math.sqrt(variance + LAYER_NORM_EPSILON);
    for (let col = 0; col < cols; col++) {
      const z = gelu((logits[col] - mean) / deviation + shift);
      out[row * cols + col] = scale * Math.abs(z) ** power * Math.sign(z);
    }
  }
  return { data: out, rows, cols };
}

/** x Φ(x). */
function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** The error function by its complement (Press et al., Numerical Recipes, 6.2.2), to 1.2e-7 of itself. */
function erf(x: number): number {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const series = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
    -0.82215223, 0.17087277,
  ].reduceRight((sum, coefficient) => sum * t + coefficient, 0);
  const complement = t * Math.exp(-x * x + series);
  return x >= 0 ? 1 - complement : complement - 1;
}
