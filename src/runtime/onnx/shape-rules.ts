import type { NodeView } from './node-view.js';

/**
 * The size of an axis: a number; the model's batch; the batch merged with something else, as where the frames of
 * several videos lie behind each other; undefined where nothing is known.
 */
export type AxisSize = number | 'batch' | 'merged' | undefined;

/** The axes of a tensor. */
export type Shape = readonly AxisSize[];

/** The shape that tensors are broadcast to; undefined where the rank of one is not known. */
export function broadcast(shapes: readonly (Shape | undefined)[]): Shape | undefined {
  const known = shapes.filter((shape) => shape !== undefined);
  if (known.length < shapes.length) return undefined;
  const rank = Math.max(0, ...known.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = known.map((shape) => (axis < rank - shape.length ? 1 : shape[axis - rank + shape.length]));
    const [most = 1] = sizes.filter((size) => size !== 1).sort((a, b) => weightOf(b) - weightOf(a));
    return sizes.every((size) => size === 1)
      ? 1
      : sizes.every((size) => size === 1 || size === undefined)
        ? undefined
        : most;
  });
}

function weightOf(size: AxisSize): number {
  return size === 'batch' ? 3 : size === 'merged' ? 2 : size === undefined ? 0 : 1;
}

/**
 * What a convolution, a pool or a change of size leaves: samples, channels, and extents.
 * @param kernel - the extents of its window; undefined where they are not known, or do not tell
 */
export function spatial(
  shape: Shape | undefined,
  channels: AxisSize,
  node: NodeView,
  kernel: Shape | undefined,
): Shape | undefined {
  return shape?.map((size, axis) =>
    axis === 0 ? size : axis === 1 ? channels : places(node, size, axis - 2, kernel),
  );
}

/** How many places a window has along an axis; undefined where that is not known. */
function places(node: NodeView, size: AxisSize, axis: number, kernel: Shape | undefined): number | undefined {
  const extent = kernel?.[axis];
  const filled = (node.text('auto_pad') ?? 'NOTSET') !== 'NOTSET';
  if (typeof size !== 'number' || typeof extent !== 'number' || filled) return undefined;
  if (node.integer('ceil_mode', 0) !== 0) return undefined;
  const pads = node.integers('pads');
  const padding = pads === undefined ? 0 : pads[axis] + pads[axis + pads.length / 2];
  const reach = (node.integers('dilations')?.[axis] ?? 1) * (extent - 1) + 1;
  return Math.floor((size + padding - reach) / (node.integers('strides')?.[axis] ?? 1)) + 1;
}

/** The channels that come out of a convolution with a weight of this shape. */
export function channelsOf(node: NodeView, weight: Shape | undefined): AxisSize {
  if (node.opType !== 'ConvTranspose') return weight?.[0];
  const each = weight?.[1];
  return typeof each === 'number' ? each * node.integer('group', 1) : undefined;
}

/** The shape of a matrix product. */
export function product(first: Shape | undefined, second: Shape | undefined): Shape | undefined {
  if (!first || !second || first.length < 2 || second.length < 2) return undefined;
  const leading = broadcast([first.slice(0, -2), second.slice(0, -2)]);
  return leading && [...leading, first.at(-2), second.at(-1)];
}

/** Two axes: those before `axis`, and those from it on. */
export function flatten(shape: Shape | undefined, axis: number): Shape {
  const at = axis < 0 && shape ? axis + shape.length : axis;
  return [
    at === 0 ? 1 : shape ? merged(shape.slice(0, at)) : undefined,
    shape ? merged(shape.slice(at)) : undefined,
  ];
}

/** The size of several axes that become one. */
function merged(sizes: Shape): AxisSize {
  const rest = sizes.filter((size) => size !== 1);
  if (rest.length <= 1) return rest.length === 0 ? 1 : rest[0];
  if (rest.some((size) => size === 'batch' || size === 'merged')) return 'merged';
  return rest.every((size) => typeof size === 'number') ? rest.reduce((a, b) => a * b, 1) : undefined;
}

/** What a Reshape to `target` gives, where 0 stands for the axis as it was (unless `allowZero`) and -1 for the rest. */
export function reshape(
  shape: Shape | undefined,
  target: Shape | undefined,
  allowZero: boolean,
): Shape | undefined {
  return target?.map((size, axis) => {
    if (size === 0 && !allowZero) return shape?.[axis];
    return size === -1 ? restOf(shape, target, axis) : size;
  });
}

/** What -1 stands for at `axis`. */
function restOf(shape: Shape | undefined, target: Shape, axis: number): AxisSize {
  if (!shape || target.includes('batch')) return undefined;
  const after = target.slice(axis + 1);
  if (axis === 0 && shape[0] === 'batch') {
    // All else the same but for axes that went: they were merged into the first.
    const inside = merged(shape.slice(1));
    const outside = merged(after);
    if (inside !== undefined && outside !== undefined) return inside === outside ? 'batch' : 'merged';
    const tail = shape.slice(shape.length - after.length);
    if (shape.length > target.length && tail.every((size, i) => size !== undefined && size === after[i]))
      return 'merged';
  }
  return undefined;
}

/** Axes of size 1 put in; axes count in the result. */
export function unsqueeze(shape: Shape | undefined, axes: readonly number[] | undefined): Shape | undefined {
  if (!shape || !axes) return undefined;
  const rank = shape.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = shape.values();
  return Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.next().value));
}

/** The axes but for some. */
export function without(shape: Shape | undefined, axes: readonly number[]): Shape | undefined {
  return shape?.filter((_, axis) => !axes.includes(axis) && !axes.includes(axis - shape.length));
}

/** The axes, with some of a size that is not known; the batch stays the batch. */
export function forget(shape: Shape | undefined, axes: readonly number[]): Shape | undefined {
  return shape?.map((size, axis) =>
    typeof size === 'number' && (axes.includes(axis) || axes.includes(axis - shape.length))
      ? undefined
      : size,
  );
}

/** What a Gather along an axis gives. */
export function gather(
  shape: Shape | undefined,
  indices: Shape | undefined,
  axis: number,
): Shape | undefined {
  if (!shape || !indices) return undefined;
  const at = axis < 0 ? axis + shape.length : axis;
  return [...shape.slice(0, at), ...indices, ...shape.slice(at + 1)];
}

/** What a Concat along an axis gives. */
export function concat(shapes: readonly (Shape | undefined)[], axis: number): Shape | undefined {
  const known = shapes.filter((shape) => shape !== undefined);
  if (known.length === 0) return undefined;
  const at = axis < 0 ? axis + known[0].length : axis;
  return known[0].map((_, index) => {
    const sizes = known.map((shape) => shape.at(index));
    if (index !== at) return sizes.sort((a, b) => weightOf(b) - weightOf(a))[0];
    return sizes.includes('batch') ? 'merged' : undefined;
  });
}

/** A product or quotient of sizes. */
export function arithmetic(
  operator: 'Mul' | 'Div',
  first: Shape | undefined,
  second: Shape | undefined,
): Shape | undefined {
  if (first?.length !== 1 || second?.length !== 1) return undefined;
  const [[a], [b]] = [first, second];
  if (b === 1) return [a];
  if (typeof a === 'number' && typeof b === 'number') return [operator === 'Mul' ? a * b : Math.floor(a / b)];
  return [operator === 'Mul' ? merged([a, b]) : undefined];
}
