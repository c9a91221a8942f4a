import type { Matrix } from '../runtime/tensor.js';

/** Temperatures outside of this are no sign of a model that is too sure, but of one that is broken. */
const RANGE = [0.01, 100] as const;
const HALVINGS = 40;

/**
 * The temperature T that makes labels most likely under softmax(logits / T) (Guo et al., "On Calibration of Modern
 * Neural Networks", ICML 2017, section 4.2). The loss is convex in 1/T, so that the root of its slope is found by
 * halving.
 * @param logits - `[N, K]`
 * @param labels - true class of each row, `[N]`
 * @returns T in [0.01, 100]; above 1 where the model is too sure
 */
export function fitTemperature(logits: Matrix, labels: Uint32Array): number {
  let [low, high] = [Math.log(1 / RANGE[1]), Math.log(1 / RANGE[0])];
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if (slopeOf(logits, labels, Math.exp(middle)) > 0) high = middle;
    else low = middle;
  }
  return 1 / Math.exp((low + high) / 2);
}

/** Derivative of the summed log loss by the inverse temperature: expected minus true logit. */
function slopeOf({ data, rows, cols }: Matrix, labels: Uint32Array, inverse: number): number {
  let slope = 0;
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * cols, (row + 1) * cols);
    const greatest = own.reduce((max, value) => Math.max(max, value), -Infinity);
    let [sum, expected] = [0, 0];
    for (const logit of own) {
      const weight = Math.exp((logit - greatest) * inverse);
      sum += weight;
      expected += weight * logit;
    }
    slope += expected / sum - own[labels[row]];
  }
  return slope;
}
