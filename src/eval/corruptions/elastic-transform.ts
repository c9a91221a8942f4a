import { SeededRandom } from '../../runtime/seeded-random.js';
import { gaussianFilter } from './gaussian-filter.js';
import { bytesOf, settingOf, unitsOf, type Picture, type Setting, type Settings } from './picture.js';
import { mirrored, reflected } from './rim.js';

/** Lengths in parts of the shorter side: of the shifts before smoothing, of their smoothing, of the affine jitter. */
type Stretch = readonly [amount: number, sigma: number, jitter: number];

/** The recipe for 224 pixels counts in 244ths, by its own word in error; the pictures are what they are. */
const LONGER = 244 / 224;

const STRETCHES: Settings<Stretch> = {
  cifar: [
    [0, 0, 0.08],
    [0.05, 0.2, 0.07],
    [0.08, 0.06, 0.06],
    [0.1, 0.04, 0.05],
    [0.1, 0.03, 0.03],
  ],
  imagenet: [
    [2 * LONGER, 0.7 * LONGER, 0.1 * LONGER],
    [2 * LONGER, 0.08 * LONGER, 0.2 * LONGER],
    [0.05 * LONGER, 0.01 * LONGER, 0.02 * LONGER],
    [0.07 * LONGER, 0.01 * LONGER, 0.02 * LONGER],
    [0.12 * LONGER, 0.01 * LONGER, 0.02 * LONGER],
  ],
};

/** Where each pixel comes from: `x` and `y`, `[height, width]`. */
interface Origins {
  readonly x: Float64Array;
  readonly y: Float64Array;
}

/**
 * Stretched and kneaded: a random affine map, then a smooth random shift of each pixel, both bilinear (Hendrycks and
 * Dietterich, ICLR 2019, `elastic_transform`, after Simard et al., ICDAR 2003).
 */
export function elasticTransform(picture: Picture, setting: Setting): Picture {
  const { width, height } = picture;
  const side = Math.min(width, height);
  const [amount, sigma, jitter] = settingOf(STRETCHES, setting).map((part) => part * side);
  const random = new SeededRandom(...setting.seeds);
  const warped = sample(
    unitsOf(picture.data),
    width,
    height,
    affineOrigins(picture, jitter, random),
    mirrored,
  );
  if (amount === 0) return { ...picture, data: bytesOf(warped) };
  const [dx, dy] = [0, 1].map(() => {
    const shifts = Float64Array.from({ length: width * height }, () => 2 * random.uniform() - 1);
    return gaussianFilter(shifts, { width, height, channels: 1 }, sigma, 'reflect', 3);
  });
  const origins = {
    x: dx.map((shift, pixel) => shift * amount + (pixel % width)),
    y: dy.map((shift, pixel) => shift * amount + Math.floor(pixel / width)),
  };
  return { ...picture, data: bytesOf(sample(warped, width, height, origins, reflected)) };
}

/** An affine map that takes three points, an arm's length from the centre, to where chance moves them. */
function affineOrigins({ width, height }: Picture, jitter: number, random: SeededRandom): Origins {
  const arm = Math.max(1, Math.floor(Math.min(width, height) / 3));
  const moved = (): number => jitter * (2 * random.uniform() - 1);
  const [cx, cy] = [Math.floor(width / 2), Math.floor(height / 2)];
  const a = { x: cx + arm + moved(), y: cy + arm + moved() };
  const b = { x: cx + arm + moved(), y: cy - arm + moved() };
  const c = { x: cx - arm + moved(), y: cy - arm + moved() };
  // b stands where the arms meet: b to a is down, c to b is right, both of twice an arm.
  const [ux, uy] = [(b.x - c.x) / (2 * arm), (b.y - c.y) / (2 * arm)];
  const [vx, vy] = [(a.x - b.x) / (2 * arm), (a.y - b.y) / (2 * arm)];
  const area = ux * vy - uy * vx;
  // Three points in a line have no way back; OpenCV, too, then takes all from one place.
  const scale = area === 0 ? 0 : 1 / area;
  const origins = { x: new Float64Array(width * height), y: new Float64Array(width * height) };
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let x = 0; x < width; x++, pixel++) {
      const [px, py] = [x - b.x, y - b.y];
      origins.x[pixel] = cx + arm + (px * vy - py * vx) * scale;
      origins.y[pixel] = cy - arm + (py * ux - px * uy) * scale;
    }
  }
  return origins;
}

/**
 * Takes each pixel from between four others.
 * @param fold - where a pixel beyond the rim lies inside
 */
function sample(
  units: Float64Array,
  width: number,
  height: number,
  origins: Origins,
  fold: (at: number, size: number) => number,
): Float64Array {
  const out = new Float64Array(units.length);
  for (let pixel = 0, at = 0; pixel < width * height; pixel++) {
    let left = Math.floor(origins.x[pixel]);
    let top = Math.floor(origins.y[pixel]);
    const [right, down] = [origins.x[pixel] - left, origins.y[pixel] - top];
    let [next, below] = [left + 1, top + 1];
    if (left < 0 || top < 0 || next >= width || below >= height) {
      [left, next] = [fold(left, width), fold(next, width)];
      [top, below] = [fold(top, height), fold(below, height)];
    }
    const [topLeft, topRight] = [3 * (top * width + left), 3 * (top * width + next)];
    const [lowLeft, lowRight] = [3 * (below * width + left), 3 * (below * width + next)];
    for (let channel = 0; channel < 3; channel++) {
      const upper = units[topLeft + channel] * (1 - right) + units[topRight + channel] * right;
      const lower = units[lowLeft + channel] * (1 - right) + units[lowRight + channel] * right;
      out[at++] = upper * (1 - down) + lower * down;
    }
  }
  return out;
}
