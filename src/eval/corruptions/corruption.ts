import { BallastError } from '../../errors.js';
import { defocusBlur } from './defocus-blur.js';
import { elasticTransform } from './elastic-transform.js';
import { fog } from './fog.js';
import { frost } from './frost.js';
import { glassBlur } from './glass-blur.js';
import { jpegCompression } from './jpeg-compression.js';
import { motionBlur } from './motion-blur.js';
import { gaussianNoise, impulseNoise, shotNoise } from './noise.js';
import type { Corruption, Picture, Scale, Severity } from './picture.js';
import { pixelate } from './pixelate.js';
import { snow } from './snow.js';
import { brightness, contrast } from './tone.js';
import { zoomBlur } from './zoom-blur.js';

export type { Picture, Scale, Severity } from './picture.js';

/** What a corruption is of. */
export type CorruptionGroup = 'noise' | 'blur' | 'weather' | 'digital';

// Seeds of chance are of a corruption's place here: an order that changes would change its pictures.
const CORRUPTIONS = {
  'gaussian-noise': { group: 'noise', apply: gaussianNoise },
  'shot-noise': { group: 'noise', apply: shotNoise },
  'impulse-noise': { group: 'noise', apply: impulseNoise },
  'defocus-blur': { group: 'blur', apply: defocusBlur },
  'glass-blur': { group: 'blur', apply: glassBlur },
  'motion-blur': { group: 'blur', apply: motionBlur },
  'zoom-blur': { group: 'blur', apply: zoomBlur },
  snow: { group: 'weather', apply: snow },
  frost: { group: 'weather', apply: frost },
  fog: { group: 'weather', apply: fog },
  brightness: { group: 'weather', apply: brightness },
  contrast: { group: 'digital', apply: contrast },
  'elastic-transform': { group: 'digital', apply: elasticTransform },
  pixelate: { group: 'digital', apply: pixelate },
  'jpeg-compression': { group: 'digital', apply: jpegCompression },
} as const satisfies Record<string, { group: CorruptionGroup; apply: Corruption }>;

/** One of the fifteen common corruptions of Hendrycks and Dietterich (ICLR 2019). */
export type CorruptionName = keyof typeof CORRUPTIONS;

/** The corruptions in the paper's order (table 1): noise, blur, weather, digital. */
export const corruptionNames = Object.keys(CORRUPTIONS) as readonly CorruptionName[];

/** Which of the paper's four groups a corruption belongs to. */
export function groupOf(name: CorruptionName): CorruptionGroup {
  return CORRUPTIONS[name].group;
}

/** Whose settings suit a picture: CIFAR-10-C's up to 64 pixels on the longer side, else ImageNet-C's. */
export function scaleFor(width: number, height: number): Scale {
  return Math.max(width, height) <= 64 ? 'cifar' : 'imagenet';
}

/** What `corrupt` takes beside the picture. */
export interface CorruptOptions {
  /** Whose settings; those for its size where left out. */
  readonly scale?: Scale;
  /** An integer of 0 or more; the same seed, corruption and severity give the same picture. */
  readonly seed: number;
}

/**
 * Corrupts a picture as CIFAR-10-C and ImageNet-C are made (Hendrycks and Dietterich, ICLR 2019), at any size: what
 * their recipe takes from the sizes 32 and 224 is taken from the picture. Frost alone is not theirs: its ice is drawn.
 * Runs in the calling thread: some milliseconds for 224 × 224 pixels.
 * @param picture - RGB; it stays as it is
 * @returns a picture of the same size, in memory of its own
 * @throws BallastError invalid-input where the bytes are not `width · height · 3`, or the name, the severity, the
 *   scale or the seed is none
 */
export async function corrupt(
  picture: Picture,
  name: CorruptionName,
  severity: Severity,
  { seed, scale = scaleFor(picture.width, picture.height) }: CorruptOptions,
): Promise<Picture> {
  checkPicture(picture);
  checkSetting(name, severity, scale, seed);
  const seeds = [seed % 2 ** 32, Math.floor(seed / 2 ** 32), corruptionNames.indexOf(name), severity];
  // Methods of a Buffer make Buffers, some over the same memory: those of its plain bytes do not.
  const { buffer, byteOffset, length } = picture.data;
  const plain = { ...picture, data: new Uint8Array(buffer, byteOffset, length) };
  return CORRUPTIONS[name].apply(plain, { severity, scale, seeds });
}

function checkPicture({ data, width, height }: Picture): void {
  if (Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0) {
    if (data.length === 3 * width * height) return;
  }
  throw new BallastError(
    'invalid-input',
    `A picture of ${width} × ${height} pixels came with ${data.length} bytes; it must have one pixel or more, and 3 bytes each.`,
  );
}

function checkSetting(name: string, severity: number, scale: string, seed: number): void {
  if (!Object.hasOwn(CORRUPTIONS, name)) {
    throw new BallastError(
      'invalid-input',
      `There is no corruption "${name}"; there are ${corruptionNames.join(', ')}.`,
    );
  }
  if (![1, 2, 3, 4, 5].includes(severity)) {
    throw new BallastError('invalid-input', `Severity ${severity} of ${name}: it must be 1, 2, 3, 4 or 5.`);
  }
  if (scale !== 'cifar' && scale !== 'imagenet') {
    throw new BallastError('invalid-input', `Scale "${scale}" of ${name}: it must be cifar or imagenet.`);
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new BallastError('invalid-input', `Seed ${seed} of ${name}: it must be an integer of 0 or more.`);
  }
}
