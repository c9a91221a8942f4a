import { BallastError } from '../errors.js';
import type { Face } from './face.js';
import {
  faceOf,
  gridOf,
  landmarksAt,
  STRIDES,
  tableOf,
  type DetectorOutputs,
  type InputSize,
} from './detector-outputs.js';

/** Sides in pixels of the two square priors of a cell, for each stride. */
const PRIOR_SIDES = { 8: [16, 32], 16: [64, 128], 32: [256, 512] } as const;
/** What offsets and the logarithms of sizes are multiplied by. */
const [CENTRE_VARIANCE, SIZE_VARIANCE] = [0.1, 0.2];
/** How far from 1 a row of probabilities may sum up to, half precision included. */
const SUM_TOLERANCE = 0.01;

/**
 * Faces from the raw outputs of RetinaFace (Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the
 * Wild", CVPR 2020) as its PyTorch versions with MobileNet-0.25 or ResNet-50 give them: boxes `[1, P, 4]`, background and
 * face `[1, P, 2]`, landmarks `[1, P, 10]`, told apart by the last axis, whatever their names. Scores may be
 * probabilities or logits: they are probabilities where every row lies in [0, 1] and sums to 1.
 *
 * The P priors are two squares on each cell's centre, (column + ½, row + ½) · stride, cells row by row, strides 8, 16
 * and 32 one after the other; their sides are 16 and 32, 64 and 128, 256 and 512. A prior of side s says: the box's
 * centre and the landmarks as offsets times 0.1 · s, the box's size as s · exp(0.2 · value). The first landmark is the
 * eye at the picture's left.
 * @param size - of the detector's input in pixels
 * @param threshold - the least score of a face, from 0 to 1
 * @returns faces in pixels of the detector's input, in the order of the priors, overlapping ones included; rows with
 *   numbers that are not finite, and boxes without area, are left out
 * @throws BallastError invalid-model where an output is missing, there twice, or has not P rows
 */
export function decodeRetinaface(outputs: DetectorOutputs, size: InputSize, threshold: number): Face[] {
  const priors = STRIDES.reduce((sum, stride) => {
    const { columns, rows } = gridOf(size, stride);
    return sum + columns * rows * PRIOR_SIDES[stride].length;
  }, 0);
  const boxes = tableWith(outputs, priors, 4);
  const classes = tableWith(outputs, priors, 2);
  const landmarks = tableWith(outputs, priors, 10);
  const score = areProbabilities(classes) ? probabilityAt : softmaxAt;

  const faces: Face[] = [];
  let prior = 0;
  for (const stride of STRIDES) {
    const { columns, rows } = gridOf(size, stride);
    for (let cell = 0; cell < columns * rows; cell++) {
      const x = ((cell % columns) + 0.5) * stride;
      const y = (Math.floor(cell / columns) + 0.5) * stride;
      for (const side of PRIOR_SIDES[stride]) {
        const face = faceAt(prior, x, y, side);
        if (face !== undefined) faces.push(face);
        prior++;
      }
    }
  }
  return faces;

  function faceAt(index: number, x: number, y: number, side: number): Face | undefined {
    const sure = score(classes, index);
    if (!(sure >= threshold)) return undefined;
    const step = CENTRE_VARIANCE * side;
    const width = side * Math.exp(boxes[4 * index + 2] * SIZE_VARIANCE);
    const height = side * Math.exp(boxes[4 * index + 3] * SIZE_VARIANCE);
    const left = x + boxes[4 * index] * step - width / 2;
    const top = y + boxes[4 * index + 1] * step - height / 2;
    return faceOf(sure, { x: left, y: top, width, height }, landmarksAt(landmarks, 10 * index, x, y, step));
  }
}

function areProbabilities(classes: Float32Array): boolean {
  for (let i = 0; i < classes.length; i += 2) {
    const [background, face] = [classes[i], classes[i + 1]];
    const sum = background + face;
    if (!Number.isFinite(sum)) continue;
    if (Math.abs(sum - 1) > SUM_TOLERANCE || background < 0 || face < 0) return false;
  }
  return true;
}

function probabilityAt(classes: Float32Array, index: number): number {
  return Number.isFinite(classes[2 * index]) ? classes[2 * index + 1] : NaN;
}

function softmaxAt(classes: Float32Array, index: number): number {
  const [background, face] = [classes[2 * index], classes[2 * index + 1]];
  return Number.isFinite(background) && Number.isFinite(face) ? 1 / (1 + Math.exp(background - face)) : NaN;
}

/** The one output whose last axis is so long. */
function tableWith(outputs: DetectorOutputs, rows: number, columns: number): Float32Array {
  const found = Object.entries(outputs).filter(([, { dims }]) => dims.at(-1) === columns);
  if (found.length === 1) return tableOf(...found[0], { rows, columns });
  const shapes = Object.entries(outputs).map(([name, { dims }]) => `"${name}" [${dims.join(', ')}]`);
  throw new BallastError(
    'invalid-model',
    `The face detector gave ${found.length} outputs of the shape [1, ${rows}, ${columns}]; a RetinaFace gives one. ` +
      `It gave ${shapes.join(', ')}.`,
  );
}
