import { bytesOf, settingOf, unitsOf, type Picture, type Setting, type Settings } from './picture.js';
import { mirrored } from './rim.js';

/** Radius of the disk and deviation of the Gaussian that smooths it, in pixels. */
const LENSES: Settings<readonly [radius: number, sigma: number]> = {
  cifar: [
    [0.3, 0.4],
    [0.4, 0.5],
    [0.5, 0.6],
    [1, 0.2],
    [1.5, 0.1],
  ],
  imagenet: [
    [3, 0.1],
    [4, 0.5],
    [6, 0.5],
    [8, 0.5],
    [10, 0.5],
  ],
};

/** A quarter of a kernel that looks the same from all four sides: `[reach + 1, reach + 1]`, the middle first. */
interface Quarter {
  readonly reach: number;
  readonly weights: Float64Array;
}

/** A lens out of focus: a disk for each point (Hendrycks and Dietterich, ICLR 2019, `defocus_blur`). */
export function defocusBlur(picture: Picture, setting: Setting): Picture {
  const quarter = diskKernel(...settingOf(LENSES, setting));
  return { ...picture, data: bytesOf(correlate(picture, quarter)) };
}

/**
 * The recipe's disk: 17 × 17 pixels where it fits, smoothed by OpenCV's Gaussian of 3 or 5 taps. That mirrors the
 * kernel at its own rim, so a disk that touches it weighs a little more than 1.
 */
function diskKernel(radius: number, sigma: number): Quarter {
  const [rim, taps] = radius <= 8 ? [8, 1] : [radius, 2];
  const size = 2 * rim + 1;
  const disk = Float64Array.from({ length: size * size }, (_, i) => {
    const [y, x] = [Math.floor(i / size) - rim, (i % size) - rim];
    return x * x + y * y <= radius * radius ? 1 : 0;
  });
  const area = disk.reduce((sum, part) => sum + part, 0);
  const window = Float64Array.from({ length: 2 * taps + 1 }, (_, i) =>
    Math.exp(-((i - taps) ** 2) / (2 * sigma ** 2)),
  );
  const total = window.reduce((sum, part) => sum + part, 0);
  const quarter = new Float64Array((rim + 1) ** 2);
  let reach = 0;
  for (let y = 0; y <= rim; y++) {
    for (let x = 0; x <= rim; x++) {
      let sum = 0;
      for (let dy = -taps; dy <= taps; dy++) {
        for (let dx = -taps; dx <= taps; dx++) {
          const at = mirrored(y + dy + rim, size) * size + mirrored(x + dx + rim, size);
          sum += disk[at] * window[dy + taps] * window[dx + taps];
        }
      }
      quarter[y * (rim + 1) + x] = sum / (area * total * total);
      if (sum > 0) reach = Math.max(reach, x, y);
    }
  }
  const weights = new Float64Array((reach + 1) ** 2);
  for (let i = 0; i < weights.length; i++) {
    weights[i] = quarter[Math.floor(i / (reach + 1)) * (rim + 1) + (i % (reach + 1))];
  }
  return { reach, weights };
}

function correlate({ data, width, height }: Picture, { reach, weights }: Quarter): Float64Array {
  const units = unitsOf(data);
  const row = 3 * width;
  const out = new Float64Array(3 * width * height);
  const columns = Int32Array.from({ length: width + 2 * reach }, (_, x) => 3 * mirrored(x - reach, width));
  // Rows above and below weigh the same: they are added up before their columns are.
  const pair = new Float64Array(3 * columns.length);
  for (let y = 0; y < height; y++) {
    const target = out.subarray(y * row, (y + 1) * row);
    for (let dy = 0; dy <= reach; dy++) {
      const above = mirrored(y - dy, height) * row;
      const below = mirrored(y + dy, height) * row;
      const half = dy === 0 ? 0.5 : 1;
      for (let x = 0, at = 0; x < columns.length; x++) {
        const column = columns[x];
        pair[at++] = half * (units[above + column] + units[below + column]);
        pair[at++] = half * (units[above + column + 1] + units[below + column + 1]);
        pair[at++] = half * (units[above + column + 2] + units[below + column + 2]);
      }
      for (let dx = 0; dx <= reach; dx++) {
        const weight = (dx === 0 ? 0.5 : 1) * weights[dy * (reach + 1) + dx];
        if (weight === 0) continue;
        const [left, right] = [3 * (reach - dx), 3 * (reach + dx)];
        for (let i = 0; i < row; i++) target[i] += weight * (pair[left + i] + pair[right + i]);
      }
    }
  }
  return out;
}
