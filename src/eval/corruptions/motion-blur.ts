import { SeededRandom } from '../../runtime/seeded-random.js';
import { settingOf, type Picture, type Raster, type Setting, type Settings } from './picture.js';

/** A half Gaussian along a line: 2 · radius + 1 taps, a deviation in pixels, an angle in degrees, 90 being down. */
export interface Motion {
  readonly radius: number;
  readonly sigma: number;
  readonly angle: number;
}

const MOTIONS: Settings<readonly [radius: number, sigma: number]> = {
  cifar: [
    [6, 1],
    [6, 1.5],
    [6, 2],
    [8, 2],
    [9, 2.5],
  ],
  imagenet: [
    [10, 3],
    [15, 5],
    [15, 8],
    [15, 12],
    [20, 15],
  ],
};

/** A camera that moves: at -45 to 45 degrees (Hendrycks and Dietterich, ICLR 2019, `motion_blur`). */
export function motionBlur(picture: Picture, setting: Setting): Picture {
  const angle = -45 + 90 * new SeededRandom(...setting.seeds).uniform();
  return motionBlurAlong(picture, setting, angle);
}

/** Motion blur at a given angle, in degrees. */
export function motionBlurAlong(picture: Picture, setting: Setting, angle: number): Picture {
  const [radius, sigma] = settingOf(MOTIONS, setting);
  const { data, width, height } = picture;
  return { ...picture, data: blurAlong(data, { width, height, channels: 3 }, { radius, sigma, angle }) };
}

/**
 * Smears bytes along a line as ImageMagick's MotionBlurImage does: each tap is the nearest pixel, the rim is repeated
 * outwards, sums are rounded.
 * @param bytes - `[height, width, channels]`; they stay as they are
 */
export function blurAlong(
  bytes: Uint8Array,
  { width, height, channels }: Raster,
  motion: Motion,
): Uint8Array {
  const taps = tapsOf(motion);
  const row = width * channels;
  const out = new Uint8Array(bytes.length);
  const sums = new Float64Array(row);
  for (let y = 0; y < height; y++) {
    // A sum of a half less the fraction that is cut off rounds.
    sums.fill(0.5);
    for (const { dx, dy, weight } of taps) {
      const begin = Math.min(Math.max(y + dy, 0), height - 1) * row;
      const last = begin + row - channels;
      const offset = begin + dx * channels;
      const from = Math.min(Math.max(-dx, 0), width) * channels;
      const to = Math.max(Math.min(width - dx, width), 0) * channels;
      for (let i = 0; i < from; i++) sums[i] += weight * bytes[begin + (i % channels)];
      for (let i = from; i < to; i++) sums[i] += weight * bytes[offset + i];
      for (let i = Math.max(to, from); i < row; i++) sums[i] += weight * bytes[last + (i % channels)];
    }
    for (let i = 0, at = y * row; i < row; i++, at++) out[at] = sums[i];
  }
  return out;
}

interface Tap {
  readonly dx: number;
  readonly dy: number;
  weight: number;
}

function tapsOf({ radius, sigma, angle }: Motion): readonly Tap[] {
  const turn = (angle * Math.PI) / 180;
  const taps: Tap[] = [];
  let sum = 0;
  for (let i = 0; i <= 2 * radius; i++) {
    const weight = Math.exp((-i * i) / (2 * sigma * sigma));
    const [dx, dy] = [Math.ceil(i * Math.cos(turn) - 0.5), Math.ceil(i * Math.sin(turn) - 0.5)];
    taps.push({ dx, dy, weight });
    sum += weight;
  }
  for (const tap of taps) tap.weight /= sum;
  return taps;
}
