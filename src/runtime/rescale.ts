import type { Tensor } from './tensor.js';

/** A change of each channel of a batch of pictures, `value · scale + offset`. */
export interface Rescaling {
  /** One a channel, or one for all. */
  readonly scale: readonly number[];
  readonly offset: readonly number[];
  /** Order of the axes of a sample: [C, H, W] or [H, W, C]. */
  readonly layout: 'nchw' | 'nhwc';
}

/**
 * Turns pictures as one network takes them into pictures as another does.
 * @param pictures - float32 `[N, C, H, W]` or `[N, H, W, C]`; they stay as they are
 */
export function rescale(pictures: Tensor, { scale, offset, layout }: Rescaling): Tensor {
  const { data, dims } = pictures;
  const out = Float32Array.from(data as Float32Array);
  const run = layout === 'nchw' ? dims[2] * dims[3] : 1;
  for (let begin = 0; begin < out.length; begin += run) {
    const channel = (begin / run) % scale.length;
    const [factor, shift] = [scale[channel], offset[channel]];
    for (let i = begin; i < begin + run; i++) out[i] = out[i] * factor + shift;
  }
  return { ...pictures, data: out };
}
