import type { GaussianNoise } from '../runtime/gaussian-noise.js';

/** A block of the Coordinator's decoder: it doubles both sides of its map. */
export interface DecoderBlock {
  readonly inputs: number;
  /** Channels after the grouped 2×2 transposed convolution; a multiple of `inputs`. */
  readonly middle: number;
  /** Channels after the 1×1 one. */
  readonly outputs: number;
}

/** The shapes of a Coordinator's decoder (Oh et al., "BlackVIP", CVPR 2023, section 4.1). */
export interface DecoderPlan {
  /** Numbers in z, the encoder's answer. */
  readonly zSize: number;
  /** Numbers in the trigger, which fills the map up where z ends. */
  readonly triggerSize: number;
  /** The map that z and trigger make: `[channels, rows, cols]`. */
  readonly latent: readonly [channels: number, rows: number, cols: number];
  readonly blocks: readonly DecoderBlock[];
  /** Channels of the picture. */
  readonly channels: number;
}

/** A parameter of the decoder: its name as the authors' code has it, and its shape. */
export interface DecoderParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The smallest side that the latent map may have. */
const SMALLEST_SIDE = 4;
/** Output channels of the authors' blocks, the last one last; a picture with more doublings begins with more of 64. */
const BLOCK_CHANNELS = [64, 32, 32, 16];

/**
 * The decoder for pictures of a size: the authors' own for 224×224 and a z of 768 numbers, and otherwise the same
 * pattern. The latent map is the picture halved as long as its smaller side stays at least 4, with room for z and as
 * large a trigger.
 * @param zSize - numbers in z
 * @param channels - of the picture, 1 or 3
 */
export function planDecoder(zSize: number, height: number, width: number, channels: number): DecoderPlan {
  let [rows, cols, doublings] = [height, width, 0];
  while (Math.min(rows, cols) / 2 >= SMALLEST_SIDE) {
    [rows, cols, doublings] = [Math.ceil(rows / 2), Math.ceil(cols / 2), doublings + 1];
  }
  const depth = Math.ceil((2 * zSize) / (rows * cols));
  const blocks: DecoderBlock[] = [];
  let inputs = depth;
  // The last doubling goes straight to the picture.
  for (let left = doublings - 1; left > 0; left--) {
    const outputs = BLOCK_CHANNELS.at(-left) ?? BLOCK_CHANNELS[0];
    blocks.push({ inputs, middle: inputs * Math.ceil(outputs / inputs), outputs });
    inputs = outputs;
  }
  return {
    zSize,
    triggerSize: depth * rows * cols - zSize,
    latent: [depth, rows, cols],
    blocks,
    channels,
  };
}

/** Channels that the last doubling reads. */
export function lastChannels({ blocks, latent }: DecoderPlan): number {
  return blocks.at(-1)?.outputs ?? latent[0];
}

/** The trainable parameters in their order, under the names of the authors' code. */
export function decoderParameters(plan: DecoderPlan): DecoderParameter[] {
  const blocks = plan.blocks.flatMap(({ inputs, middle, outputs }, index): DecoderParameter[] => {
    const layer = (offset: number): string => `body.${4 * index + offset}`;
    return [
      { name: `${layer(0)}.weight`, shape: [inputs, middle / inputs, 2, 2] },
      { name: `${layer(0)}.bias`, shape: [middle] },
      { name: `${layer(1)}.weight`, shape: [middle, outputs, 1, 1] },
      { name: `${layer(2)}.weight`, shape: [outputs] },
      { name: `${layer(2)}.bias`, shape: [outputs] },
    ];
  });
  const last = `body.${4 * plan.blocks.length}.weight`;
  return [
    { name: 'p_trigger', shape: [1, plan.triggerSize] },
    ...blocks,
    { name: last, shape: [lastChannels(plan), plan.channels, 2, 2] },
  ];
}

/** How many numbers all parameters have. */
export function countParameters(plan: DecoderPlan): number {
  return decoderParameters(plan).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** How many numbers the means and variances of all normalisations are: for each block its means, then its variances. */
export function countStatistics({ blocks }: DecoderPlan): number {
  return blocks.reduce((sum, { outputs }) => sum + 2 * outputs, 0);
}

/**
 * Parameters to begin with. Every layer keeps the variance of what comes in, and the last is small, so that the first
 * prompt hardly changes a picture.
 * @param prompt - deviation of the first prompt's pixels
 */
export function initialParameters(plan: DecoderPlan, noise: GaussianNoise, prompt = 0.02): Float64Array {
  const values: number[] = [];
  for (const { name, shape } of decoderParameters(plan)) {
    const normal = (deviation: number): void => {
      for (let i = 0; i < sizeOf(shape); i++) values.push(deviation * noise.next());
    };
    if (name === 'p_trigger') normal(1);
    else if (shape.length === 1) for (let i = 0; i < shape[0]; i++) values.push(isScale(name) ? 1 : 0);
    else if (name === `body.${4 * plan.blocks.length}.weight`) normal(prompt / Math.sqrt(shape[0]));
    // A grouped transposed convolution reads one channel a pixel, a 1×1 one all of them.
    else normal(shape[2] === 2 ? 1 : 1 / Math.sqrt(shape[0]));
  }
  return Float64Array.from(values);
}

/** Whether a parameter of one axis is a normalisation's scale, and no shift or bias. */
function isScale(name: string): boolean {
  return name.endsWith('.weight');
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
