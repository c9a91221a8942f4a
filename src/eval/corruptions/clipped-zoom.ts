import type { Raster } from './picture.js';

/** Where the places of one axis come from: between `low` and the next, at that part of the way. */
interface Axis {
  readonly low: Int32Array;
  readonly part: Float64Array;
  readonly start: number;
  readonly inner: number;
}

/** Two sizes by the 26 zooms of the strongest blur fit. */
const CACHED = 64;
const axes = new Map<string, Axis>();

/**
 * Enlarges the middle of a layer to the layer's size and adds the result to another, as the recipe's `clipped_zoom`
 * does with scipy.ndimage.zoom of order 1: the corners of what is cut out stay corners, and what the enlarged layer has
 * too much is cut off all around.
 * @param values - `[height, width, channels]`
 * @param factor - how much larger, 1 or more
 * @param sum - `[height, width, channels]`, added to
 */
export function addClippedZoom(
  values: Float64Array,
  raster: Raster,
  factor: number,
  sum: Float64Array,
): void {
  const { width, height, channels } = raster;
  const [columns, rows] = [axisOf(width, factor), axisOf(height, factor)];
  const row = width * channels;
  const [begin, end] = [columns.start * channels, (columns.start + columns.inner) * channels];
  // One column more than there are: the last one has no next, and takes nothing of it.
  const blend = new Float64Array(row + channels);
  const from = Int32Array.from(columns.low, (low) => low * channels);
  for (let y = 0; y < height; y++) {
    const upper = rows.low[y] * row;
    const lower = Math.min(rows.low[y] + 1, height - 1) * row;
    const part = rows.part[y];
    for (let i = begin; i < end; i++) blend[i] = values[upper + i] * (1 - part) + values[lower + i] * part;
    for (let x = 0, at = y * row; x < width; x++) {
      const right = columns.part[x];
      for (let i = from[x], stop = i + channels; i < stop; i++, at++) {
        sum[at] += blend[i] * (1 - right) + blend[i + channels] * right;
      }
    }
  }
}

function axisOf(size: number, factor: number): Axis {
  const key = `${size} ${factor}`;
  let axis = axes.get(key);
  if (axis === undefined) {
    axis = buildAxis(size, factor);
    if (axes.size >= CACHED) axes.delete(axes.keys().next().value!);
    axes.set(key, axis);
  }
  return axis;
}

function buildAxis(size: number, factor: number): Axis {
  const inner = Math.ceil(size / factor);
  const start = Math.floor((size - inner) / 2);
  const full = Math.max(size, Math.round(inner * factor));
  const trim = Math.floor((full - size) / 2);
  const step = full === 1 ? 0 : (inner - 1) / (full - 1);
  const low = new Int32Array(size);
  const part = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const at = Math.min((i + trim) * step, inner - 1);
    low[i] = Math.min(Math.floor(at), Math.max(inner - 2, 0));
    part[i] = at - low[i];
    low[i] += start;
  }
  return { low, part, start, inner };
}
