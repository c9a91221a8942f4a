import type { Raster } from './picture.js';
import { reflected } from './rim.js';

/** What lies beyond the rim: its last pixel again and again, or the picture mirrored there, that pixel included. */
export type Rim = 'nearest' | 'reflect';

/** The filter along one axis as a band of a matrix: output i adds up inputs `first[i]` to `first[i] + span - 1`. */
interface Band {
  readonly first: Int32Array;
  readonly span: number;
  readonly weights: Float64Array;
}

/** Pictures of one evaluation are of few sizes; two bands each are at most a few megabytes. */
const CACHED = 8;
const bands = new Map<string, Band>();

/**
 * Smooths by a Gaussian, as scipy.ndimage.gaussian_filter does, with its kernel cut off and normalised. What lies
 * beyond the rim is folded into the weights, so that a kernel wider than the picture costs no more than the picture.
 * @param values - `[height, width, channels]`; they stay as they are
 * @param sigma - standard deviation in pixels; 0 changes nothing
 * @param truncate - where the kernel ends, in standard deviations
 */
export function gaussianFilter(
  values: Float64Array,
  raster: Raster,
  sigma: number,
  rim: Rim = 'nearest',
  truncate = 4,
): Float64Array {
  if (Math.floor(truncate * sigma + 0.5) === 0) return values.slice();
  const { width, height } = raster;
  const down = filterColumns(values, raster, bandOf(height, sigma, rim, truncate));
  return filterRows(down, raster, bandOf(width, sigma, rim, truncate));
}

function bandOf(size: number, sigma: number, rim: Rim, truncate: number): Band {
  const key = `${size} ${sigma} ${rim} ${truncate}`;
  let band = bands.get(key);
  if (band === undefined) {
    band = buildBand(size, sigma, rim, Math.floor(truncate * sigma + 0.5));
    if (bands.size >= CACHED) bands.delete(bands.keys().next().value!);
    bands.set(key, band);
  }
  return band;
}

function buildBand(size: number, sigma: number, rim: Rim, reach: number): Band {
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - reach) / sigma) ** 2),
  );
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  const span = Math.min(kernel.length, size);
  const first = Int32Array.from({ length: size }, (_, i) => Math.min(Math.max(i - reach, 0), size - span));
  const weights = new Float64Array(size * span);
  for (let i = 0; i < size; i++) {
    for (let tap = -reach; tap <= reach; tap++) {
      const from = rim === 'nearest' ? Math.min(Math.max(i + tap, 0), size - 1) : reflected(i + tap, size);
      weights[i * span + from - first[i]] += kernel[tap + reach] / sum;
    }
  }
  return { first, span, weights };
}

function filterColumns(values: Float64Array, { width, height, channels }: Raster, band: Band): Float64Array {
  const row = width * channels;
  const out = new Float64Array(values.length);
  for (let y = 0; y < height; y++) {
    const target = out.subarray(y * row, (y + 1) * row);
    for (let k = 0; k < band.span; k++) {
      const weight = band.weights[y * band.span + k];
      const begin = (band.first[y] + k) * row;
      if (weight !== 0) for (let i = 0; i < row; i++) target[i] += weight * values[begin + i];
    }
  }
  return out;
}

function filterRows(values: Float64Array, { width, height, channels }: Raster, band: Band): Float64Array {
  const { first, span, weights } = band;
  const out = new Float64Array(values.length);
  for (let y = 0; y < height; y++) {
    const row = y * width * channels;
    for (let x = 0; x < width; x++) {
      const begin = row + first[x] * channels;
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let k = 0, from = begin + channel; k < span; k++, from += channels) {
          sum += weights[x * span + k] * values[from];
        }
        out[row + x * channels + channel] = sum;
      }
    }
  }
  return out;
}
