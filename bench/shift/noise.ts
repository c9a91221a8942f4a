import { Random } from './random.js';

/**
 * Adds Gaussian noise to 8-bit pixels, rounded and clipped to 0..255. The same image gets the same draws at every
 * level, only scaled, so that levels differ in strength alone.
 * @param level - standard deviation in grey levels
 * @param seed - names the image
 */
export function addNoise(pixels: Uint8Array, level: number, seed: number): Uint8Array {
  if (level === 0) return pixels;
  const random = new Random(seed);
  // A clamped array rounds and clips as it stores.
  return new Uint8Array(Uint8ClampedArray.from(pixels, (pixel) => pixel + level * random.normal()).buffer);
}
