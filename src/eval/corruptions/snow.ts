import { GaussianNoise } from '../../runtime/gaussian-noise.js';
import { SeededRandom } from '../../runtime/seeded-random.js';
import { addClippedZoom } from './clipped-zoom.js';
import { blurAlong } from './motion-blur.js';
import {
  BYTE_TO_UNIT,
  byteOf,
  bytesOf,
  settingOf,
  type Picture,
  type Setting,
  type Settings,
} from './picture.js';

/** A layer of noise whose peaks are flakes, how they fall, and how much of the picture's colour is left. */
type Snowfall = readonly [
  mean: number,
  deviation: number,
  zoom: number,
  threshold: number,
  radius: number,
  sigma: number,
  colour: number,
];

const SNOWFALLS: Settings<Snowfall> = {
  cifar: [
    [0.1, 0.2, 1, 0.6, 8, 3, 0.95],
    [0.1, 0.2, 1, 0.5, 10, 4, 0.9],
    [0.15, 0.3, 1.75, 0.55, 10, 4, 0.9],
    [0.25, 0.3, 2.25, 0.6, 12, 6, 0.85],
    [0.3, 0.3, 1.25, 0.65, 14, 12, 0.8],
  ],
  imagenet: [
    [0.1, 0.3, 3, 0.5, 10, 4, 0.8],
    [0.2, 0.3, 2, 0.5, 12, 4, 0.7],
    [0.55, 0.3, 4, 0.9, 12, 8, 0.7],
    [0.55, 0.3, 4.5, 0.85, 12, 8, 0.65],
    [0.55, 0.3, 2.5, 0.85, 12, 12, 0.55],
  ],
};

/**
 * Snow: a whitened picture under flakes that fall at -135 to -45 degrees, and under the same flakes turned by half a
 * circle (Hendrycks and Dietterich, ICLR 2019, `snow`).
 */
export function snow(picture: Picture, setting: Setting): Picture {
  const snowfall = settingOf(SNOWFALLS, setting);
  const colour = snowfall[6];
  const flakes = flakesOf(picture, snowfall, setting.seeds);
  const data = new Uint8Array(picture.data.length);
  for (let pixel = 0, last = flakes.length - 1, at = 0; pixel <= last; pixel++) {
    const [red, green, blue] = [
      BYTE_TO_UNIT[picture.data[at]],
      BYTE_TO_UNIT[picture.data[at + 1]],
      BYTE_TO_UNIT[picture.data[at + 2]],
    ];
    const white = (0.299 * red + 0.587 * green + 0.114 * blue) * 1.5 + 0.5;
    const flake = BYTE_TO_UNIT[flakes[pixel]] + BYTE_TO_UNIT[flakes[last - pixel]];
    data[at++] = byteOf(colour * red + (1 - colour) * Math.max(red, white) + flake);
    data[at++] = byteOf(colour * green + (1 - colour) * Math.max(green, white) + flake);
    data[at++] = byteOf(colour * blue + (1 - colour) * Math.max(blue, white) + flake);
  }
  return { ...picture, data };
}

/** The layer of flakes `[height, width]`. */
function flakesOf({ width, height }: Picture, snowfall: Snowfall, seeds: readonly number[]): Uint8Array {
  const [mean, deviation, zoom, threshold, radius, sigma] = snowfall;
  const noise = new GaussianNoise(...seeds, 0);
  const layer = new Float64Array(width * height);
  for (let i = 0; i < layer.length; i++) layer[i] = mean + deviation * noise.next();
  const raster = { width, height, channels: 1 };
  const enlarged = new Float64Array(layer.length);
  addClippedZoom(layer, raster, zoom, enlarged);
  for (let i = 0; i < enlarged.length; i++) if (enlarged[i] < threshold) enlarged[i] = 0;
  const angle = -135 + 90 * new SeededRandom(...seeds, 1).uniform();
  return blurAlong(bytesOf(enlarged), raster, { radius, sigma, angle });
}
