import { BallastError } from '../errors.js';
import type { Landmarks, Point } from './face.js';
import { fitSimilarityLeastMedian, type Similarity } from './similarity.js';

/**
 * Where the landmarks of an upright face lie in a crop of 112×112 pixels: the template that face recognisers are trained
 * with (Deng et al., "ArcFace", CVPR 2019), whose crop of 96×112 is widened by 8 pixels on either side.
 */
const TEMPLATE: readonly (readonly [number, number])[] = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];
const TEMPLATE_SIZE = 112;

/** How a face is cropped. */
export interface CropOptions {
  /** Pixels of a side of the square crop. */
  readonly size: number;
  /** How many times as far as the template's crop this one reaches; 1.3 when left out. */
  readonly scale?: number;
}

/**
 * Where the landmarks of an upright face lie in a crop.
 * @returns five points in pixels of the crop, in the order of `Landmarks`
 * @throws BallastError invalid-input where size or scale is out of range
 */
export function templateOf({ size, scale = 1.3 }: CropOptions): Landmarks {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new BallastError(
      'invalid-input',
      `The size of a crop is ${size}; it must be a whole number of at least 1 pixel.`,
    );
  }
  if (!(scale > 0 && scale < Infinity)) {
    throw new BallastError('invalid-input', `The scale of a crop is ${scale}; it must be more than 0.`);
  }
  const margin = (size * (scale - 1)) / 2;
  const placed = (value: number): number =>
    (((value * size) / TEMPLATE_SIZE + margin) * size) / (size + 2 * margin);
  const [left, right, nose, mouthLeft, mouthRight] = TEMPLATE.map(([x, y]): Point => ({
    x: placed(x),
    y: placed(y),
  }));
  return [left, right, nose, mouthLeft, mouthRight];
}

/**
 * The similarity from a picture to the crop in which a face stands upright and large, by least median of squares, so
 * that one landmark of five may be wrong.
 * @param landmarks - in pixels of the picture
 * @returns from pixels of the picture to pixels of the crop; `warp` applies it
 * @throws BallastError invalid-input where size or scale is out of range, a landmark is not finite or all are equal
 */
export function alignment(landmarks: Landmarks, options: CropOptions): Similarity {
  return fitSimilarityLeastMedian(landmarks, templateOf(options));
}
