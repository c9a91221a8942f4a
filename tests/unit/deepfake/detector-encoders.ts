import type { DetectorOutput, DetectorOutputs, InputSize } from '#ballast/deepfake/detector-outputs.js';
import type { Face } from '#ballast/deepfake/face.js';

/** A face at a place of a detector's outputs: the cell that answers for it and, where there are several, the anchor. */
export interface PlacedFace {
  readonly face: Face;
  readonly stride: 8 | 16 | 32;
  readonly column: number;
  readonly row: number;
  readonly anchor?: number;
}

export const SIZE: InputSize = { width: 160, height: 96 };

const STRIDES = [8, 16, 32] as const;

function zeros(dims: number[]): DetectorOutput {
  return { dims, data: new Float32Array(dims.reduce((product, length) => product * length)) };
}

function face(x: number, y: number, width: number, height: number, score: number): Face {
  const at = (right: number, down: number): Face['landmarks'][0] => ({
    x: x + right * width,
    y: y + down * height,
  });
  return {
    box: { x, y, width, height },
    landmarks: [at(0.3, 0.4), at(0.7, 0.38), at(0.5, 0.6), at(0.33, 0.8), at(0.68, 0.79)],
    score,
  };
}

/** Faces in the order in which the decoders give them: small to large strides, cells row by row. */
export const PLACED: readonly PlacedFace[] = [
  { face: face(3, 2, 18, 22, 0.9), stride: 8, column: 1, row: 1, anchor: 0 },
  { face: face(-4, 60, 30, 33, 0.75), stride: 8, column: 0, row: 9, anchor: 1 },
  { face: face(110, 10, 44, 60, 0.6), stride: 16, column: 8, row: 2, anchor: 1 },
  { face: face(30, 5, 88, 90, 0.99), stride: 32, column: 2, row: 1, anchor: 0 },
];

/** The outputs of a YuNet that shows these faces; its class score is `score`, its objectness too. */
export function encodeYunet(placed: readonly PlacedFace[], size = SIZE): Record<string, DetectorOutput> {
  const outputs: Record<string, DetectorOutput> = {};
  for (const stride of STRIDES) {
    const cells = (size.width / stride) * (size.height / stride);
    const heads = { cls: zeros([1, cells, 1]), obj: zeros([1, cells, 1]) };
    const [bbox, kps] = [zeros([1, cells, 4]), zeros([1, cells, 10])];
    for (const { face, column, row } of placed.filter((one) => one.stride === stride)) {
      const { box, landmarks, score } = face;
      const cell = row * (size.width / stride) + column;
      heads.cls.data[cell] = heads.obj.data[cell] = score;
      const [centreX, centreY] = [box.x + box.width / 2, box.y + box.height / 2];
      bbox.data.set(
        [
          centreX / stride - column,
          centreY / stride - row,
          Math.log(box.width / stride),
          Math.log(box.height / stride),
        ],
        cell * 4,
      );
      kps.data.set(
        landmarks.flatMap(({ x, y }) => [x / stride - column, y / stride - row]),
        cell * 10,
      );
    }
    Object.assign(outputs, {
      [`cls_${stride}`]: heads.cls,
      [`obj_${stride}`]: heads.obj,
      [`bbox_${stride}`]: bbox,
      [`kps_${stride}`]: kps,
    });
  }
  return outputs;
}

/**
 * The outputs of an SCRFD that shows these faces.
 * @param names - of the nine outputs: scores, boxes, landmarks, each for the strides 8, 16 and 32
 * @param batch - whether there is a batch axis
 */
export function encodeScrfd(
  placed: readonly PlacedFace[],
  names: readonly string[],
  batch: boolean,
  size = SIZE,
): Record<string, DetectorOutput> {
  const outputs: Record<string, DetectorOutput> = {};
  const front = batch ? [1] : [];
  STRIDES.forEach((stride, level) => {
    const anchors = 2 * (size.width / stride) * (size.height / stride);
    const [scores, boxes, points] = [1, 4, 10].map((last) => zeros([...front, anchors, last]));
    for (const { face, column, row, anchor = 0 } of placed.filter((one) => one.stride === stride)) {
      const { box, landmarks, score } = face;
      const index = 2 * (row * (size.width / stride) + column) + anchor;
      const [x, y] = [column * stride, row * stride];
      scores.data[index] = score;
      boxes.data.set(
        [x - box.x, y - box.y, box.x + box.width - x, box.y + box.height - y].map((d) => d / stride),
        4 * index,
      );
      points.data.set(
        landmarks.flatMap((point) => [(point.x - x) / stride, (point.y - y) / stride]),
        10 * index,
      );
    }
    [outputs[names[level]], outputs[names[level + 3]], outputs[names[level + 6]]] = [scores, boxes, points];
  });
  return outputs;
}

/** The outputs of a RetinaFace that shows these faces, its scores as probabilities or as logits. */
export function encodeRetinaface(
  placed: readonly PlacedFace[],
  scores: 'probabilities' | 'logits',
  size = SIZE,
): Record<'loc' | 'conf' | 'landms', DetectorOutput> {
  const grids = STRIDES.map((stride) => ({
    stride,
    columns: Math.ceil(size.width / stride),
    priors: 2 * Math.ceil(size.width / stride) * Math.ceil(size.height / stride),
  }));
  const total = grids.reduce((sum, { priors }) => sum + priors, 0);
  const [loc, conf, landms] = [4, 2, 10].map((last) => zeros([1, total, last]));
  for (let prior = 0; prior < total; prior++) {
    conf.data.set(scores === 'logits' ? [4, -3] : [0.998, 0.002], 2 * prior);
  }
  let first = 0;
  for (const { stride, columns, priors } of grids) {
    for (const { face, column, row, anchor = 0 } of placed.filter((one) => one.stride === stride)) {
      const { box, landmarks, score } = face;
      const prior = first + 2 * (row * columns + column) + anchor;
      const side = (stride ** 2 / 4) * (anchor + 1);
      const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
      const offset = (to: number, from: number): number => (to - from) / side / 0.1;
      loc.data.set(
        [
          offset(box.x + box.width / 2, x),
          offset(box.y + box.height / 2, y),
          Math.log(box.width / side) / 0.2,
          Math.log(box.height / side) / 0.2,
        ],
        4 * prior,
      );
      landms.data.set(
        landmarks.flatMap((point) => [offset(point.x, x), offset(point.y, y)]),
        10 * prior,
      );
      const odds = Math.log(score / (1 - score));
      conf.data.set(scores === 'logits' ? [1.5, 1.5 + odds] : [1 - score, score], 2 * prior);
    }
    first += priors;
  }
  return { loc, conf, landms };
}

/** Every number of a face, for comparisons within the precision of float32. */
export function numbersOf({ box, landmarks, score }: Face): number[] {
  return [box.x, box.y, box.width, box.height, ...landmarks.flatMap(({ x, y }) => [x, y]), score];
}

/** How far two lists of faces are from each other; Infinity where their lengths differ. */
export function distanceBetween(found: readonly Face[], expected: readonly Face[]): number {
  if (found.length !== expected.length) return Infinity;
  const others = expected.flatMap(numbersOf);
  return Math.max(0, ...found.flatMap(numbersOf).map((value, i) => Math.abs(value - others[i])));
}

/** Names and shapes as a session tells them. */
export function shapesOf(outputs: DetectorOutputs): { name: string; dims: readonly number[] }[] {
  return Object.entries(outputs).map(([name, { dims }]) => ({ name, dims }));
}
