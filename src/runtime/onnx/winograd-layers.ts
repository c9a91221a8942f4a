import { BatchAxis } from './batch-axis.js';
import { minimalFiltering, type MinimalFiltering } from './minimal-filtering.js';
import type { ModelView } from './model-view.js';
import type { NodeView } from './node-view.js';
import { storedFloats } from './stored-floats.js';
import type { Shape } from './shape-rules.js';

/** A convolution of 3 × 3 taps that keeps the size of the plane, and how its plane is tiled. */
export interface WinogradLayer {
  readonly node: NodeView;
  /** `[outputs, inputs, 3, 3]`. */
  readonly weight: Float32Array;
  readonly inputChannels: number;
  readonly outputChannels: number;
  readonly rows: Tiling;
  readonly columns: Tiling;
}

/** How an axis of a plane is covered by tiles of one minimal filtering algorithm. */
export interface Tiling {
  /** Numbers along the axis. */
  readonly size: number;
  readonly tiles: number;
  readonly algorithm: MinimalFiltering;
}

/** With fewer channels, what is made of the input and the products costs more than the multiplications that it saves. */
const FEWEST_CHANNELS = 128;
/** Bytes of weights that a network may get on top of its own. */
const MOST_BYTES = 32 * 2 ** 20;
/** Outputs of the largest algorithm: one with more would lose the fourth digit of a float32. */
const MOST_OUTPUTS = 4;

/**
 * Convolutions that minimal filtering makes faster, those first that save the most for the memory that they take.
 * @returns layers whose new weights fit into 32 MiB together
 */
export function winogradLayers(model: ModelView): WinogradLayer[] {
  const candidates = model.graph.nodes.filter((node) => isCandidate(model, node));
  if (candidates.length === 0) return [];
  const axes = new BatchAxis(model);
  const weights = storedFloats(model, new Set(candidates.map(({ inputs }) => inputs[1])));
  const layers = candidates
    .flatMap((node) => layerOf(model, node, axes.shape(node.inputs[0]), weights.get(node.inputs[1])))
    .sort((one, other) => savings(other) - savings(one));
  let bytes = 0;
  return layers.filter((layer) => {
    const fits = bytes + weightBytes(layer) <= MOST_BYTES;
    if (fits) bytes += weightBytes(layer);
    return fits;
  });
}

function isCandidate({ graph }: ModelView, node: NodeView): boolean {
  if (node.opType !== 'Conv' || node.domain !== '' || node.integer('group', 1) !== 1) return false;
  const [outputs, inputs, ...kernel] = graph.initializers.get(node.inputs[1])?.dims ?? [];
  const each = (name: string, value: number): boolean =>
    node.integers(name)?.every((number) => number === value) ?? value === 1;
  return (
    kernel.length === 2 &&
    kernel.every((size) => size === 3) &&
    Math.min(outputs, inputs) >= FEWEST_CHANNELS &&
    each('strides', 1) &&
    each('dilations', 1) &&
    node.integers('pads')?.every((pad) => pad === 1) === true &&
    (node.text('auto_pad') ?? 'NOTSET') === 'NOTSET'
  );
}

function layerOf(
  { graph }: ModelView,
  node: NodeView,
  shape: Shape | undefined,
  weight: Float32Array | undefined,
): WinogradLayer[] {
  const [batch, , height, width] = shape ?? [];
  if (weight === undefined || batch !== 'batch' || typeof height !== 'number' || typeof width !== 'number') {
    return [];
  }
  const [outputChannels, inputChannels] = graph.initializers.get(node.inputs[1])!.dims;
  return [{ node, weight, inputChannels, outputChannels, rows: tilingOf(height), columns: tilingOf(width) }];
}

/** The tiling with the fewest multiplications. */
function tilingOf(size: number): Tiling {
  const tilings = Array.from({ length: MOST_OUTPUTS }, (_, index) => {
    const algorithm = minimalFiltering(index + 1);
    return { size, tiles: Math.ceil(size / algorithm.outputs), algorithm };
  });
  return tilings.reduce((best, tiling) => (positionsOf(tiling) <= positionsOf(best) ? tiling : best));
}

function positionsOf({ tiles, algorithm }: Tiling): number {
  return tiles * algorithm.positions;
}

/** Multiplications saved for each number of new weights. */
function savings({ rows, columns }: WinogradLayer): number {
  const direct = 9 * rows.size * columns.size;
  const left = positionsOf(rows) * positionsOf(columns);
  return (direct - left) / (rows.algorithm.positions * columns.algorithm.positions);
}

function weightBytes({ rows, columns, inputChannels, outputChannels }: WinogradLayer): number {
  return 4 * rows.algorithm.positions * columns.algorithm.positions * inputChannels * outputChannels;
}
