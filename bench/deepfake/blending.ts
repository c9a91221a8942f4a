import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import { clamped } from './pixels.js';

/**
 * Lays one picture over another of the same size.
 * @param mask - weight of the source by pixel, `[height * width]`, in [0, 1]
 * @param ratio - of the source where the mask is 1, in [0, 1]
 */
export function blended(
  source: RgbPicture,
  target: RgbPicture,
  mask: Float32Array,
  ratio: number,
): RgbPicture {
  const data = target.data.map((value, i) => {
    const weight = ratio * mask[Math.floor(i / 3)];
    return clamped(value + weight * (source.data[i] - value));
  });
  return { ...target, data };
}

/** A change of colour: of shifts in grey levels, of the hue in radians, and of factors. */
export interface Recolouring {
  readonly shift: readonly [red: number, green: number, blue: number];
  readonly hue: number;
  readonly saturation: number;
  readonly brightness: number;
  readonly contrast: number;
}

/** Turns and stretches the chroma about grey, keeps the luma (ITU-R BT.601), then applies contrast and shifts. */
export function recoloured(picture: RgbPicture, change: Recolouring): RgbPicture {
  const { shift, hue, saturation, brightness, contrast } = change;
  const [cosine, sine] = [saturation * Math.cos(hue), saturation * Math.sin(hue)];
  const out = new Uint8Array(picture.data.length);
  for (let i = 0; i < out.length; i += 3) {
    const [red, green, blue] = [picture.data[i], picture.data[i + 1], picture.data[i + 2]];
    const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    const [u, v] = [0.492 * (blue - luma), 0.877 * (red - luma)];
    const [turnedU, turnedV] = [cosine * u - sine * v, sine * u + cosine * v];
    const newBlue = luma + turnedU / 0.492;
    const newRed = luma + turnedV / 0.877;
    const newGreen = (luma - 0.299 * newRed - 0.114 * newBlue) / 0.587;
    out[i] = clamped(128 + contrast * (newRed - 128) + brightness + shift[0]);
    out[i + 1] = clamped(128 + contrast * (newGreen - 128) + brightness + shift[1]);
    out[i + 2] = clamped(128 + contrast * (newBlue - 128) + brightness + shift[2]);
  }
  return { ...picture, data: out };
}

/** Mean and standard deviation of each colour under a mask, in grey levels. */
export function colourMoments(
  { data }: RgbPicture,
  mask: Float32Array,
): { readonly mean: number; readonly deviation: number }[] {
  const total = mask.reduce((sum, weight) => sum + weight, 0);
  return [0, 1, 2].map((c) => {
    let [sum, squares] = [0, 0];
    mask.forEach((weight, i) => {
      const value = data[3 * i + c];
      sum += weight * value;
      squares += weight * value * value;
    });
    const mean = sum / total;
    return { mean, deviation: Math.sqrt(Math.max(0, squares / total - mean * mean)) };
  });
}

/** Gives a picture the colour moments that another has under a mask (Reinhard et al., 2001, in RGB). */
export function colourMatched(source: RgbPicture, target: RgbPicture, mask: Float32Array): RgbPicture {
  const [from, to] = [colourMoments(source, mask), colourMoments(target, mask)];
  const data = source.data.map((value, i) => {
    const [own, wanted] = [from[i % 3], to[i % 3]];
    return clamped(wanted.mean + ((value - own.mean) * wanted.deviation) / Math.max(1, own.deviation));
  });
  return { ...source, data };
}
