import { BYTE_TO_UNIT, byteOf, settingOf, type Picture, type Setting, type Settings } from './picture.js';

/** What is added to the value of a colour, which is in [0, 1]. */
const BRIGHTER: Settings<number> = {
  cifar: [0.05, 0.1, 0.15, 0.2, 0.3],
  imagenet: [0.1, 0.2, 0.3, 0.4, 0.5],
};

/** What is left of the distance from the mean. */
const CONTRASTS: Settings<number> = {
  cifar: [0.75, 0.5, 0.4, 0.3, 0.15],
  imagenet: [0.4, 0.3, 0.2, 0.1, 0.05],
};

/**
 * Daylight: more value of the same hue and saturation in HSV, whose value is the largest channel: the others keep
 * their part of it (Hendrycks and Dietterich, ICLR 2019, `brightness`).
 */
export function brightness({ data, width, height }: Picture, setting: Setting): Picture {
  const more = settingOf(BRIGHTER, setting);
  const out = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 3) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    const value = Math.max(red, green, blue);
    const lifted = Math.min(BYTE_TO_UNIT[value] + more, 1);
    // Black has no hue: it becomes grey.
    out[at] = byteOf(value === 0 ? more : (red / value) * lifted);
    out[at + 1] = byteOf(value === 0 ? more : (green / value) * lifted);
    out[at + 2] = byteOf(value === 0 ? more : (blue / value) * lifted);
  }
  return { data: out, width, height };
}

/** Less contrast: each channel nearer to its mean over the picture (ibid., `contrast`). */
export function contrast({ data, width, height }: Picture, setting: Setting): Picture {
  const part = settingOf(CONTRASTS, setting);
  const sums = [0, 0, 0];
  for (let at = 0; at < data.length; at++) sums[at % 3] += data[at];
  const tables = sums.map((sum) => {
    const mean = sum / (255 * width * height);
    return Uint8Array.from(BYTE_TO_UNIT, (unit) => byteOf((unit - mean) * part + mean));
  });
  const out = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at++) out[at] = tables[at % 3][data[at]];
  return { data: out, width, height };
}
