import type { FeatureRows, Float } from './feature-rows.js';

/**
 * How much two samples of a batch pull each other towards the same class: `knn` links each sample to its k nearest
 * neighbours, `rbf` weighs by a Gaussian of the distance, `linear` by the cosine.
 */
export type Affinity = 'knn' | 'rbf' | 'linear';

/**
 * The affinity matrix W `[N, N]`. As `neighbours` it is 1 where `indices [k, N]` say, each of whose columns lists the
 * neighbours of a sample, and 0 elsewhere. As `gaussian` it is exp(-d² / 2σ²) = exp((c - 1) / σ²) of the closeness
 * c `[N, N]` = 1 - d²/2.
 */
export type AffinityMatrix =
  | { readonly form: 'neighbours'; readonly indices: Int32Array; readonly k: number }
  | { readonly form: 'gaussian'; readonly closeness: Float; readonly sigma: number }
  | { readonly form: 'dense'; readonly weights: Float };

/** Gives the rows `[start, start + count)` of the features' Gram matrix f fᵀ, as `[count, N]`. */
export type GramRows = (start: number, count: number) => Promise<Float>;

/** What makes an affinity matrix; `k` counts neighbours, and for `rbf` the sample itself as the first. */
export interface AffinityOptions {
  readonly affinity: Affinity;
  readonly k: number;
  readonly symmetrize: boolean;
}

/** Rows of the Gram matrix that are held at a time where neighbours are all that is wanted: 64 MB of float32. */
const GRAM_BLOCK = 2 ** 24;

/** Cosines this close to 1 are of rows that are equal, as far as sums of products in that precision can tell. */
const ROUNDING = { float64: 2 ** -49, float32: 2 ** -20 };

/**
 * Measured: adding up a neighbour's row takes as long as 32 columns of a matrix product. Below that many samples to
 * a neighbour, the product with a matrix of zeros and ones is quicker.
 */
const COLUMNS_PER_NEIGHBOUR = 32;

/**
 * Builds the affinity matrix W of LAME (Boudiaf et al., CVPR 2022) from features brought to length 1. Distances
 * come from the Gram matrix: d² = |a|² + |b|² - 2ab. A sample is no neighbour of itself, but exact duplicates are, at
 * distance 0; among equal distances the lower index wins. Fewer than k others: all of them are neighbours. A sample
 * alone has no affinity, except `linear`'s with itself.
 * @param features - rows `[N, D]`
 * @param gram - computes the Gram matrix of those rows, as they are
 * @param form - the wanted form of a kNN matrix that is not symmetrised; whatever is quicker when left out
 */
export async function buildAffinity(
  features: FeatureRows,
  gram: GramRows,
  options: AffinityOptions,
  form?: AffinityMatrix['form'],
): Promise<AffinityMatrix> {
  const { rows } = features;
  if (options.affinity === 'linear') return { form: 'dense', weights: await linearWeights(features, gram) };
  if (options.affinity === 'rbf') return gaussianAffinity(features, gram, options.k);
  const k = Math.min(options.k, rows - 1);
  const indices = await nearestNeighbours(features, gram, k);
  const dense =
    options.symmetrize || (form === undefined ? k * COLUMNS_PER_NEIGHBOUR > rows : form === 'dense');
  if (k > 0 && !dense) return { form: 'neighbours', indices, k };
  return { form: 'dense', weights: knnWeights(features, indices, options.symmetrize) };
}

async function nearestNeighbours(features: FeatureRows, gram: GramRows, k: number): Promise<Int32Array> {
  const { rows } = features;
  const indices = new Int32Array(k * rows);
  const nearest = { indices: new Int32Array(k), closeness: new Float64Array(k) };
  const block = Math.max(1, Math.floor(GRAM_BLOCK / rows));
  for (let start = 0; start < rows; start += block) {
    const count = Math.min(block, rows - start);
    const products = await gram(start, count);
    for (let i = start; i < start + count; i++) {
      const row = products.subarray((i - start) * rows, (i - start + 1) * rows);
      toCloseness(features, i, row);
      selectNearest(row, i, nearest);
      for (let place = 0; place < k; place++) indices[place * rows + i] = nearest.indices[place];
    }
  }
  return indices;
}

/**
 * Turns row i of the Gram matrix into 1 - d²/2 `[N]`: the cosine, except with a row of zeros. It is set where rounding
 * would hide that rows are equal, and so that copies of a row tie.
 */
function toCloseness({ scales, firstEqual, copies, zero }: FeatureRows, i: number, row: Float): void {
  const equal = row instanceof Float64Array ? 1 - ROUNDING.float64 : 1 - ROUNDING.float32;
  const own = firstEqual[i];
  const scale = scales[i];
  for (let j = 0; j < row.length; j++) {
    const cosine = row[j] * scale * scales[j];
    row[j] = cosine > equal ? 1 : cosine;
  }
  if (own === zero) row.fill(0.5);
  else if (zero !== undefined) row[zero] = 0.5;
  row[own] = 1;
  for (const copy of copies) row[copy] = row[firstEqual[copy]];
}

/** The samples closest to one, the closest first, and how close they are. */
interface Nearest {
  readonly indices: Int32Array;
  readonly closeness: Float64Array;
}

function selectNearest(all: Float, self: number, { indices, closeness }: Nearest): void {
  const last = closeness.length - 1;
  if (last < 0) return;
  closeness.fill(-Infinity);
  let least = -Infinity;
  for (let j = 0; j < all.length; j++) {
    const close = all[j];
    if (close <= least || j === self) continue;
    let place = last;
    while (place > 0 && closeness[place - 1] < close) {
      closeness[place] = closeness[place - 1];
      indices[place] = indices[place - 1];
      place--;
    }
    closeness[place] = close;
    indices[place] = j;
    least = closeness[last];
  }
}

function knnWeights(features: FeatureRows, indices: Int32Array, symmetrize: boolean): Float {
  const { rows } = features;
  const weights = squareLike(features);
  const link = symmetrize ? 0.5 : 1;
  for (let edge = 0; edge < indices.length; edge++) {
    const i = edge % rows;
    const j = indices[edge];
    weights[i * rows + j] += link;
    if (symmetrize) weights[j * rows + i] += link;
  }
  return weights;
}

async function linearWeights({ scales, rows }: FeatureRows, gram: GramRows): Promise<Float> {
  const weights = await gram(0, rows);
  for (let i = 0; i < rows; i++) {
    const row = weights.subarray(i * rows, (i + 1) * rows);
    const scale = scales[i];
    for (let j = 0; j < rows; j++) row[j] *= scale * scales[j];
  }
  return weights;
}

/** σ is the mean distance to the k-th nearest. With σ = 0, equal features have the weight 1, and others 0. */
async function gaussianAffinity(features: FeatureRows, gram: GramRows, k: number): Promise<AffinityMatrix> {
  const { rows } = features;
  if (rows === 1) return { form: 'dense', weights: squareLike(features) };
  const closeness = await gram(0, rows);
  const others = Math.min(k, rows) - 1;
  const nearest = { indices: new Int32Array(others), closeness: new Float64Array(others) };
  let sigma = 0;
  for (let i = 0; i < rows; i++) {
    const row = closeness.subarray(i * rows, (i + 1) * rows);
    toCloseness(features, i, row);
    selectNearest(row, i, nearest);
    sigma += Math.sqrt(2 - 2 * (nearest.closeness.at(-1) ?? 1)) / rows;
  }
  if (sigma > 0) return { form: 'gaussian', closeness, sigma };
  return { form: 'dense', weights: closeness.map((close: number) => (close >= 1 ? 1 : 0)) };
}

function squareLike({ data, rows }: FeatureRows): Float {
  return data instanceof Float64Array ? new Float64Array(rows * rows) : new Float32Array(rows * rows);
}
