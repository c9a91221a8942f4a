import { BallastError } from '../errors.js';
import type { Face } from './face.js';
import {
  faceOf,
  gridOf,
  landmarksAt,
  STRIDES,
  tableOf,
  withoutBatch,
  type DetectorOutputs,
  type InputSize,
} from './detector-outputs.js';

const ANCHORS_A_CELL = 2;
/** Numbers that an anchor gets from each head. */
const [SCORES, BOXES, LANDMARKS] = [1, 4, 10];

/**
 * Faces from the raw outputs of SCRFD with landmarks (Guo et al., "Sample and Computation Redistribution for Efficient
 * Face Detection", ICLR 2022) as InsightFace exports it (det_500m, det_2.5g, det_10g, scrfd_*_bnkps): for each of the
 * strides 8, 16 and 32 a table of scores `[anchors, 1]`, of boxes `[anchors, 4]` and of landmarks `[anchors, 10]`, with
 * or without a batch axis of 1 in front, two anchors a cell, cells row by row. Their names and their order do not
 * matter: the last axis tells the head and the number of anchors the stride.
 *
 * An anchor at (column, row) · stride says: its score; how far the left, top, right and bottom edges of the box are from
 * it, and where the landmarks are relative to it, both times the stride. The first landmark is the eye at the picture's
 * left.
 * @param size - of the detector's input in pixels, multiples of 32
 * @param threshold - the least score of a face, from 0 to 1
 * @returns faces in pixels of the detector's input, in the order of strides and anchors, overlapping ones included; rows
 *   with numbers that are not finite, and boxes without area, are left out
 * @throws BallastError invalid-model where a table is missing or there twice
 */
export function decodeScrfd(outputs: DetectorOutputs, size: InputSize, threshold: number): Face[] {
  return STRIDES.flatMap((stride) => decodeStride(outputs, size, stride, threshold));
}

function decodeStride(outputs: DetectorOutputs, size: InputSize, stride: number, threshold: number): Face[] {
  const { columns, rows } = gridOf(size, stride);
  const anchors = ANCHORS_A_CELL * columns * rows;
  const scores = tableWith(outputs, anchors, SCORES, stride);
  const boxes = tableWith(outputs, anchors, BOXES, stride);
  const landmarks = tableWith(outputs, anchors, LANDMARKS, stride);
  const faces: Face[] = [];
  for (let anchor = 0; anchor < anchors; anchor++) {
    const score = scores[anchor];
    if (!(score >= threshold)) continue;
    const cell = Math.floor(anchor / ANCHORS_A_CELL);
    const [x, y] = [(cell % columns) * stride, Math.floor(cell / columns) * stride];
    const [left, top, right, bottom] = boxes.subarray(BOXES * anchor, BOXES * (anchor + 1));
    const face = faceOf(
      score,
      {
        x: x - left * stride,
        y: y - top * stride,
        width: (left + right) * stride,
        height: (top + bottom) * stride,
      },
      landmarksAt(landmarks, LANDMARKS * anchor, x, y, stride),
    );
    if (face !== undefined) faces.push(face);
  }
  return faces;
}

/** The one output that is a table of so many rows and columns. */
function tableWith(outputs: DetectorOutputs, rows: number, columns: number, stride: number): Float32Array {
  const found = Object.entries(outputs).filter(([, { dims }]) => {
    const table = withoutBatch(dims);
    return table.length === 2 && table[0] === rows && table[1] === columns;
  });
  if (found.length === 1) return tableOf(...found[0], { rows, columns });
  const shapes = Object.entries(outputs).map(([name, { dims }]) => `"${name}" [${dims.join(', ')}]`);
  throw new BallastError(
    'invalid-model',
    `The face detector gave ${found.length} outputs of the shape [${rows}, ${columns}]; an SCRFD gives one for the ` +
      `stride ${stride} of a picture of this size, whose width and height must be multiples of 32. ` +
      `It gave ${shapes.join(', ')}.`,
  );
}
