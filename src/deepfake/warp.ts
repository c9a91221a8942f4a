import { BallastError } from '../errors.js';
import type { RgbPicture } from '../runtime/rgb-picture.js';
import { apply, invert, type Similarity } from './similarity.js';

/** Pixels of the source for one of the crop above which the source is averaged first. */
const MOST_SHRINKING = 1.5;

/** Values `[height, width, 3]`, each `weight` times what it stands for in bytes; black all around. */
interface Plane {
  readonly data: Uint8Array | Float32Array;
  readonly width: number;
  readonly height: number;
  readonly weight: number;
}

/**
 * Cuts a crop out of a picture: each pixel of the crop is sampled bilinearly where the inverse of `toCrop` puts it.
 * Integer coordinates are the centres of pixels, as for OpenCV's warpAffine, from which it differs in that coordinates
 * are not rounded to 1/32 of a pixel. Outside of the picture all is black.
 *
 * Where the crop shrinks the picture by a factor s of more than 1.5, bilinear sampling alone would skip pixels and alias.
 * Then the picture is first averaged in boxes of f×f pixels, f being s rounded to a whole number, that start at
 * multiples of f (only the region that the crop shows; what a box has outside of the picture is black), and the crop is
 * sampled from those averages, whose centres lie at multiples of f plus (f − 1)/2.
 *
 * It takes about a millisecond for a crop of 224×224, and for the region that is averaged another two milliseconds for
 * each million pixels: a face that fills a picture of tens of megapixels belongs in a thread.
 * @param source - RGB bytes `[height, width, 3]`
 * @param toCrop - from pixels of the source to pixels of the crop
 * @param size - pixels of a side of the crop
 * @returns RGB bytes `[size, size, 3]`, rounded to the nearest
 * @throws BallastError invalid-input where the source has not width · height · 3 bytes, the size is no whole number of
 *   at least 1, or `toCrop` has no inverse
 */
export function warp(source: RgbPicture, toCrop: Similarity, size: number): Uint8Array {
  checkArguments(source, size);
  const fromCrop = invert(toCrop);
  const shrinking = Math.hypot(fromCrop.a, fromCrop.b);
  if (shrinking <= MOST_SHRINKING) return sample({ ...source, weight: 1 }, fromCrop, size);

  const factor = Math.round(shrinking);
  const region = shownCells(source, fromCrop, size, factor);
  if (region.width <= 0 || region.height <= 0) return new Uint8Array(size * size * 3);
  const centre = (factor - 1) / 2;
  return sample(
    boxSums(source, region, factor),
    {
      a: fromCrop.a / factor,
      b: fromCrop.b / factor,
      tx: (fromCrop.tx - centre) / factor - region.x,
      ty: (fromCrop.ty - centre) / factor - region.y,
    },
    size,
  );
}

/** A rectangle of boxes, in boxes. */
interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The boxes of the grid that lie in the picture and that the crop may show; none where width or height is not positive. */
function shownCells(
  { width, height }: RgbPicture,
  fromCrop: Similarity,
  size: number,
  factor: number,
): Region {
  const ends = [0, size - 1];
  const corners = ends.flatMap((y) => ends.map((x) => apply(fromCrop, { x, y })));
  const span = (values: number[], pixels: number): [number, number] => [
    // Bilinear sampling reads the boxes on either side; one more makes up for rounding.
    Math.max(Math.floor(Math.min(...values) / factor) - 2, 0),
    Math.min(Math.ceil(Math.max(...values) / factor) + 2, Math.ceil(pixels / factor)),
  ];
  const [left, right] = span(
    corners.map(({ x }) => x),
    width,
  );
  const [top, bottom] = span(
    corners.map(({ y }) => y),
    height,
  );
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Sums of the boxes of factor × factor pixels in a region that is given in boxes. */
function boxSums({ data, width, height }: RgbPicture, region: Region, factor: number): Plane {
  const sums = new Float32Array(region.width * region.height * 3);
  let out = 0;
  for (let row = region.y; row < region.y + region.height; row++) {
    const bottom = Math.min((row + 1) * factor, height);
    for (let column = region.x; column < region.x + region.width; column++) {
      const left = 3 * column * factor;
      const right = Math.min(left + 3 * factor, 3 * width);
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let y = row * factor; y < bottom; y++) {
        const end = 3 * y * width + right;
        for (let i = 3 * y * width + left; i < end; i += 3) {
          red += data[i];
          green += data[i + 1];
          blue += data[i + 2];
        }
      }
      sums[out++] = red;
      sums[out++] = green;
      sums[out++] = blue;
    }
  }
  return { data: sums, width: region.width, height: region.height, weight: factor * factor };
}

/** Bilinear samples of a plane, rounded to bytes `[size, size, 3]`. */
function sample({ data, width, height, weight }: Plane, fromCrop: Similarity, size: number): Uint8Array {
  const { a, b, tx, ty } = fromCrop;
  const crop = new Uint8Array(size * size * 3);
  let out = -3;
  for (let v = 0; v < size; v++) {
    for (let u = 0; u < size; u++) {
      out += 3;
      const x = a * u - b * v + tx;
      const y = b * u + a * v + ty;
      if (!(x > -1 && y > -1 && x < width && y < height)) continue;
      let column = Math.floor(x);
      let row = Math.floor(y);
      // A neighbour outside is black: it gets no weight, and one that can be read takes its place.
      let right = (x - column) / weight;
      let left = 1 / weight - right;
      let below = y - row;
      let above = 1 - below;
      let stepRight = 3;
      let stepBelow = 3 * width;
      if (column < 0) {
        left = column = stepRight = 0;
      } else if (column + 1 >= width) {
        right = stepRight = 0;
      }
      if (row < 0) {
        above = row = stepBelow = 0;
      } else if (row + 1 >= height) {
        below = stepBelow = 0;
      }
      const i = 3 * (row * width + column);
      const j = i + stepBelow;
      const k = i + stepRight;
      const l = j + stepRight;
      crop[out] =
        above * (left * data[i] + right * data[k]) + below * (left * data[j] + right * data[l]) + 0.5;
      crop[out + 1] =
        above * (left * data[i + 1] + right * data[k + 1]) +
        below * (left * data[j + 1] + right * data[l + 1]) +
        0.5;
      crop[out + 2] =
        above * (left * data[i + 2] + right * data[k + 2]) +
        below * (left * data[j + 2] + right * data[l + 2]) +
        0.5;
    }
  }
  return crop;
}

function checkArguments({ data, width, height }: RgbPicture, size: number): void {
  const whole = [width, height].every((side) => Number.isSafeInteger(side) && side >= 1);
  if (!whole || data.length !== width * height * 3) {
    throw new BallastError(
      'invalid-input',
      `The picture has ${data.length} bytes for ${width}×${height} pixels of RGB; it needs whole numbers of at least 1 and three bytes for each pixel.`,
    );
  }
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new BallastError(
      'invalid-input',
      `The size of a crop is ${size}; it must be a whole number of at least 1 pixel.`,
    );
  }
}
