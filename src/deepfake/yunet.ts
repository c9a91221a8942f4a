import { BallastError } from '../errors.js';
import type { Face } from './face.js';
import {
  faceOf,
  gridOf,
  landmarksAt,
  STRIDES,
  tableOf,
  type DetectorOutput,
  type DetectorOutputs,
  type InputSize,
} from './detector-outputs.js';

/** The heads of YuNet and the numbers that each gives a cell: class score, objectness, box, landmarks. */
export const YUNET_HEADS = { cls: 1, obj: 1, bbox: 4, kps: 10 } as const;

/**
 * Faces from the raw outputs of YuNet (Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
 * Intelligence Research 20, 2023) as the OpenCV model zoo exports it (face_detection_yunet_2023mar): `cls_8`, `obj_8`,
 * `bbox_8`, `kps_8` and the same for the strides 16 and 32, each `[1, cells, 1 | 1 | 4 | 10]`, cells row by row.
 *
 * A cell at (column, row) says: score √(cls · obj), both clamped to [0, 1]; the box's centre (column + b0, row + b1) and
 * size (exp b2, exp b3), the landmarks (column + k, row + k'), all times the stride. Its landmarks begin with the
 * person's right eye, which is the eye at the picture's left.
 * @param size - of the detector's input in pixels, multiples of 32
 * @param threshold - the least score of a face, from 0 to 1
 * @returns faces in pixels of the detector's input, in the order of strides and cells, overlapping ones included; rows
 *   with numbers that are not finite, and boxes without area, are left out
 * @throws BallastError invalid-model where an output is missing or its shape does not go with the size
 */
export function decodeYunet(outputs: DetectorOutputs, size: InputSize, threshold: number): Face[] {
  return STRIDES.flatMap((stride) => decodeStride(outputs, size, stride, threshold));
}

function decodeStride(outputs: DetectorOutputs, size: InputSize, stride: number, threshold: number): Face[] {
  const { columns, rows } = gridOf(size, stride);
  const head = (kind: keyof typeof YUNET_HEADS): Float32Array => {
    const name = `${kind}_${stride}`;
    return tableOf(name, outputOf(outputs, name), { rows: columns * rows, columns: YUNET_HEADS[kind] });
  };
  const [cls, obj, bbox, kps] = [head('cls'), head('obj'), head('bbox'), head('kps')];
  const faces: Face[] = [];
  for (let cell = 0; cell < cls.length; cell++) {
    const score = Math.sqrt(clamped(cls[cell]) * clamped(obj[cell]));
    if (!(score >= threshold)) continue;
    const [column, row] = [cell % columns, Math.floor(cell / columns)];
    const width = Math.exp(bbox[4 * cell + 2]) * stride;
    const height = Math.exp(bbox[4 * cell + 3]) * stride;
    const x = (column + bbox[4 * cell]) * stride - width / 2;
    const y = (row + bbox[4 * cell + 1]) * stride - height / 2;
    const landmarks = landmarksAt(kps, 10 * cell, column * stride, row * stride, stride);
    const face = faceOf(score, { x, y, width, height }, landmarks);
    if (face !== undefined) faces.push(face);
  }
  return faces;
}

function outputOf(outputs: DetectorOutputs, name: string): DetectorOutput {
  if (Object.hasOwn(outputs, name)) return outputs[name];
  throw new BallastError(
    'invalid-model',
    `The face detector gave no output "${name}"; a YuNet gives cls, obj, bbox and kps for the strides 8, 16 and 32.`,
  );
}

/** NaN where the number is not finite, so that its row is dropped. */
function clamped(value: number): number {
  return Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : NaN;
}
