import { BallastError } from '../errors.js';
import type { Box, Face, Landmarks } from './face.js';

/** One output of a face detector for one picture: a dense row-major tensor. */
export interface DetectorOutput {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** The outputs of a face detector for one picture, by name. */
export type DetectorOutputs = Readonly<Record<string, DetectorOutput>>;

/** The size in pixels of the picture that a detector was given. */
export interface InputSize {
  readonly width: number;
  readonly height: number;
}

/** Pixels between the cells of the three grids that every known detector answers on. */
export const STRIDES = [8, 16, 32] as const;

/** The grid of a stride, from `ceil(width / stride)` by `ceil(height / stride)` cells. */
export function gridOf({ width, height }: InputSize, stride: number): { columns: number; rows: number } {
  return { columns: Math.ceil(width / stride), rows: Math.ceil(height / stride) };
}

/**
 * The numbers of an output that is a table `[rows, columns]`, with or without a batch axis of 1 in front.
 * @param expected - rows and columns that the table must have
 * @throws BallastError invalid-model where the shape or the count of numbers is another
 */
export function tableOf(
  name: string,
  { dims, data }: DetectorOutput,
  expected: { readonly rows: number; readonly columns: number },
): Float32Array {
  const { rows, columns } = expected;
  const table = withoutBatch(dims);
  const fits = table.length === 2 && table[0] === rows && table[1] === columns;
  if (fits && data.length === rows * columns) return data;
  throw new BallastError(
    'invalid-model',
    `The output "${name}" of the face detector has the shape [${dims.join(', ')}] and ${data.length} numbers; ` +
      `for one picture of this size it must have the shape [1, ${rows}, ${columns}]. ` +
      'Width and height of the picture must be multiples of 32.',
  );
}

/** A shape of three axes without the first, where that is a batch of 1; any other shape as it is. */
export function withoutBatch(dims: readonly number[]): readonly number[] {
  return dims.length === 3 && dims[0] === 1 ? dims.slice(1) : dims;
}

/**
 * Five landmarks from ten numbers x0, y0, x1, y1, ... of `data` from `offset` on, each times `scale` and relative to
 * the point (x, y).
 */
export function landmarksAt(
  data: Float32Array,
  offset: number,
  x: number,
  y: number,
  scale: number,
): Landmarks {
  const point = (index: number): Landmarks[0] => ({
    x: x + data[offset + 2 * index] * scale,
    y: y + data[offset + 2 * index + 1] * scale,
  });
  return [point(0), point(1), point(2), point(3), point(4)];
}

/** A face, or undefined where one of its numbers is not finite or its box has no area: such a row shows no face. */
export function faceOf(score: number, box: Box, landmarks: Landmarks): Face | undefined {
  const finite =
    Number.isFinite(score) &&
    Number.isFinite(box.x) &&
    Number.isFinite(box.y) &&
    Number.isFinite(box.width) &&
    Number.isFinite(box.height) &&
    landmarks.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  return finite && box.width > 0 && box.height > 0 ? { box, landmarks, score } : undefined;
}
