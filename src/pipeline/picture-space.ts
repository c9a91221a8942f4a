import type { PictureSpace } from '../runtime/picture-space.js';
import type { ImageInput } from './model-config.js';

/** The pictures that an input makes, and the values that black and white have in them. */
export function pictureSpace({ width, height, layout, channels, mean, std }: ImageInput): PictureSpace {
  const depth = channels === 'grey' ? 1 : 3;
  const valueOf = (pixel: number): number[] =>
    Array.from(
      { length: depth },
      (_, channel) => (pixel - (mean[channel] ?? mean[0])) / (std[channel] ?? std[0]),
    );
  return { width, height, channels: depth, layout, order: channels, low: valueOf(0), high: valueOf(1) };
}
