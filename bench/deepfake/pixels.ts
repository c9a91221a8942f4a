import sharp, { type Sharp } from 'sharp';
import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import type { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';

/** Decodes a picture to 8-bit sRGB. */
export async function decoded(file: Uint8Array): Promise<RgbPicture> {
  const { data, info } = await sharp(file)
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** @param quality - of JPEG, 1 to 100 */
export function jpegOf(picture: RgbPicture, quality: number): Promise<Buffer> {
  return opened(picture).jpeg({ quality }).toBuffer();
}

/** Makes a picture smaller or larger. */
export async function scaledTo(
  picture: RgbPicture,
  width: number,
  height: number,
  kernel: 'nearest' | 'linear' | 'cubic' = 'linear',
): Promise<RgbPicture> {
  const data = await opened(picture).resize(width, height, { fit: 'fill', kernel }).raw().toBuffer();
  return { data, width, height };
}

/** @param sigma - of the unsharp mask, in pixels */
export async function sharpened(picture: RgbPicture, sigma: number): Promise<RgbPicture> {
  return { ...picture, data: await opened(picture).sharpen({ sigma }).raw().toBuffer() };
}

/**
 * Scales a picture about a point and shifts it: bilinear, the border repeated.
 * @param by - the shift in pixels, and the factor of the scale
 */
export function moved(
  { data, width, height }: RgbPicture,
  by: { readonly dx: number; readonly dy: number; readonly scale: number },
  [cx, cy]: readonly [number, number],
): RgbPicture {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    const v = Math.min(height - 1, Math.max(0, cy + (y - cy - by.dy) / by.scale));
    const [top, fy] = [Math.floor(v), v % 1];
    const below = Math.min(height - 1, top + 1);
    for (let x = 0; x < width; x++) {
      const u = Math.min(width - 1, Math.max(0, cx + (x - cx - by.dx) / by.scale));
      const [left, fx] = [Math.floor(u), u % 1];
      const right = Math.min(width - 1, left + 1);
      const [one, two] = [(top * width + left) * 3, (top * width + right) * 3];
      const [three, four] = [(below * width + left) * 3, (below * width + right) * 3];
      for (let c = 0; c < 3; c++) {
        const upper = data[one + c] * (1 - fx) + data[two + c] * fx;
        const lower = data[three + c] * (1 - fx) + data[four + c] * fx;
        out[(y * width + x) * 3 + c] = Math.round(upper * (1 - fy) + lower * fy);
      }
    }
  }
  return { data: out, width, height };
}

/** @param deviation - of the Gaussian noise, in grey levels */
export function noisy(picture: RgbPicture, deviation: number, noise: GaussianNoise): RgbPicture {
  return { ...picture, data: picture.data.map((value) => clamped(value + deviation * noise.next())) };
}

/** A number as a byte. */
export function clamped(value: number): number {
  return Math.min(255, Math.max(0, Math.round(value)));
}

/** Uniform in [from, to). */
export function between(random: SeededRandom, from: number, to: number): number {
  return from + (to - from) * random.uniform();
}

/** One of some values. */
export function oneOf<T>(random: SeededRandom, values: readonly T[]): T {
  return values[Math.floor(random.uniform() * values.length)];
}

function opened({ data, width, height }: RgbPicture): Sharp {
  return sharp(data, { raw: { width, height, channels: 3 } });
}
