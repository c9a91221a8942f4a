import { SeededRandom } from '../../runtime/seeded-random.js';
import { gaussianFilter } from './gaussian-filter.js';
import { bytesOf, settingOf, unitsOf, type Picture, type Setting, type Settings } from './picture.js';

/** Deviation of the Gaussian in pixels, how far a pixel may come from, and how often. */
const PANES: Settings<readonly [sigma: number, delta: number, rounds: number]> = {
  cifar: [
    [0.05, 1, 1],
    [0.25, 1, 1],
    [0.4, 1, 1],
    [0.25, 1, 2],
    [0.4, 1, 2],
  ],
  imagenet: [
    [0.7, 1, 2],
    [0.9, 2, 1],
    [1, 2, 3],
    [1.1, 3, 2],
    [1.5, 4, 2],
  ],
};

/**
 * Frosted glass: smoothed, pixels moved about, smoothed again (Hendrycks and Dietterich, ICLR 2019, `glass_blur`). The
 * paper swaps pixels; the recipe that made the published pictures copies one over the other (it swaps views of one
 * array), and so does this.
 */
export function glassBlur(picture: Picture, setting: Setting): Picture {
  const [sigma, delta, rounds] = settingOf(PANES, setting);
  const { width, height } = picture;
  const raster = { width, height, channels: 3 };
  const data = bytesOf(gaussianFilter(unitsOf(picture.data), raster, sigma));
  const random = new SeededRandom(...setting.seeds);
  for (let round = 0; round < rounds; round++) {
    for (let y = height - delta; y > delta; y--) {
      for (let x = width - delta; x > delta; x--) {
        const to = 3 * (y * width + x);
        const from = to + 3 * (shift(random, delta) * width + shift(random, delta));
        data[to] = data[from];
        data[to + 1] = data[from + 1];
        data[to + 2] = data[from + 2];
      }
    }
  }
  return { ...picture, data: bytesOf(gaussianFilter(unitsOf(data), raster, sigma)) };
}

/** A step of -delta to delta - 1 pixels: never that far forwards, as in the recipe. */
function shift(random: SeededRandom, delta: number): number {
  return Math.floor(random.uniform() * 2 * delta) - delta;
}
