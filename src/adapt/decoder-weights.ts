import { lastChannels, type DecoderPlan } from './decoder-plan.js';

/** Added to a variance before its root is taken, as in the authors' code. */
const EPSILON = 1e-5;

/** How many numbers `foldDecoder` makes. */
export function countFolded(plan: DecoderPlan): number {
  const blocks = plan.blocks.reduce((sum, { inputs, outputs }) => sum + 4 * inputs * outputs + outputs, 0);
  return plan.triggerSize + blocks + 4 * lastChannels(plan) * plan.channels;
}

/**
 * Folds each block into one matrix and one shift. Nothing stands between its grouped transposed convolution, its 1×1
 * convolution and its normalisation, so that together they take each pixel's `inputs` channels to 4·`outputs`.
 * @param parameters - `[P]`, in the order of `decoderParameters`
 * @param statistics - `[S]`, of each block its means, then its variances; blocks beyond its end are not normalised,
 *   but scaled and shifted
 * @returns trigger, then for each block its matrix `[inputs, 2, 2, outputs]` and its shift `[outputs]`, then the last
 *   matrix `[inputs, 2, 2, channels]`
 */
export function foldDecoder(
  plan: DecoderPlan,
  parameters: Float64Array,
  statistics: Float64Array | Float32Array,
): Float32Array {
  const folded = new Float32Array(countFolded(plan));
  let [from, to, measured] = [0, 0, 0];
  const take = (count: number): Float64Array => parameters.subarray(from, (from += count));
  folded.set(take(plan.triggerSize));
  to += plan.triggerSize;
  for (const { inputs, middle, outputs } of plan.blocks) {
    const spread = take(middle * 4);
    const spreadBias = take(middle);
    const pointwise = take(middle * outputs);
    const scale = take(outputs);
    const shift = take(outputs);
    const isMeasured = measured + 2 * outputs <= statistics.length;
    const mean = isMeasured ? statistics.subarray(measured, measured + outputs) : undefined;
    const variance = isMeasured ? statistics.subarray(measured + outputs, measured + 2 * outputs) : undefined;
    measured += 2 * outputs;
    const factor = scale.map((value, o) =>
      variance === undefined ? value : value / Math.sqrt(variance[o] + EPSILON),
    );
    const group = middle / inputs;
    for (let m = 0; m < middle; m++) {
      const input = Math.floor(m / group);
      for (let corner = 0; corner < 4; corner++) {
        const row = to + (input * 4 + corner) * outputs;
        const weight = spread[m * 4 + corner];
        for (let o = 0; o < outputs; o++) folded[row + o] += weight * pointwise[m * outputs + o] * factor[o];
      }
    }
    to += inputs * 4 * outputs;
    for (let o = 0; o < outputs; o++) {
      let bias = -(mean?.[o] ?? 0);
      for (let m = 0; m < middle; m++) bias += spreadBias[m] * pointwise[m * outputs + o];
      folded[to + o] = bias * factor[o] + shift[o];
    }
    to += outputs;
  }
  const { channels } = plan;
  const last = take(lastChannels(plan) * channels * 4);
  for (let i = 0; i < last.length; i++) {
    const [input, channel, corner] = [Math.floor(i / (4 * channels)), Math.floor(i / 4) % channels, i % 4];
    folded[to + (input * 4 + corner) * channels + channel] = last[i];
  }
  return folded;
}
