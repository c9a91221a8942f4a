import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import type { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { blended, colourMatched, recoloured } from './blending.js';
import { LFW_CENTRE } from './face-archive.js';
import { faceMask } from './face-mask.js';
import { between, moved, oneOf, scaledTo, sharpened } from './pixels.js';

const RATIOS = [0.25, 0.5, 0.75, 1, 1, 1];

/**
 * A self-blended image (Shiohara and Yamasaki, CVPR 2022): a face laid over itself, after one of the two was changed in
 * colour and sharpness and the upper one moved.
 * @param picture - aligned, 250 × 250
 * @returns the fake, and what it was laid over, so that the two differ under the mask alone
 */
export async function selfBlended(
  picture: RgbPicture,
  random: SeededRandom,
): Promise<{ real: RgbPicture; fake: RgbPicture }> {
  const changed = await changedOf(picture, random);
  const [source, target] = random.uniform() < 0.5 ? [changed, picture] : [picture, changed];
  const by = {
    dx: between(random, -4, 4),
    dy: between(random, -4, 4),
    scale: between(random, 0.95, 1.05),
  };
  const upper = moved(source, by, LFW_CENTRE);
  return { real: target, fake: blended(upper, target, faceMask(random), oneOf(random, RATIOS)) };
}

/**
 * A face swap: another person's face of the same pose, as aligned pictures have it, in the target's colours.
 * @param target - whose face goes, aligned, 250 × 250
 * @param donor - whose face comes
 */
export function swapped(target: RgbPicture, donor: RgbPicture, random: SeededRandom): RgbPicture {
  const mask = faceMask(random);
  return blended(colourMatched(donor, target, mask), target, mask, 1);
}

async function changedOf(picture: RgbPicture, random: SeededRandom): Promise<RgbPicture> {
  const shift = (): number => between(random, -20, 20);
  const colours = recoloured(picture, {
    shift: [shift(), shift(), shift()],
    hue: between(random, -0.15, 0.15),
    saturation: between(random, 0.7, 1.3),
    brightness: between(random, -15, 15),
    contrast: between(random, 0.85, 1.15),
  });
  if (random.uniform() < 0.5) return sharpened(colours, between(random, 0.6, 1.5));
  const { width, height } = picture;
  const factor = between(random, 1.5, 4);
  const small = await scaledTo(colours, Math.round(width / factor), Math.round(height / factor));
  return scaledTo(small, width, height, oneOf(random, ['nearest', 'linear', 'cubic']));
}
