import { BallastError } from '../errors.js';
import type { Face } from './face.js';
import { STRIDES, type DetectorOutputs, type InputSize } from './detector-outputs.js';
import { decodeRetinaface } from './retinaface.js';
import { decodeScrfd } from './scrfd.js';
import { decodeYunet, YUNET_HEADS } from './yunet.js';

/** The families of face detectors whose raw outputs can be read. */
export type DetectorLayout = 'yunet' | 'scrfd' | 'retinaface';

/** Name and shape of an output of a graph; -1 stands for a dimension that may vary. */
export interface OutputShape {
  readonly name: string;
  readonly dims: readonly number[];
}

const DECODERS = { yunet: decodeYunet, scrfd: decodeScrfd, retinaface: decodeRetinaface } as const;

const KNOWN =
  'A YuNet has twelve outputs named cls, obj, bbox and kps with _8, _16 and _32, [1, cells, 1, 1, 4 and 10]; ' +
  'an SCRFD with landmarks has nine whose last axes are three times 1, 4 and 10; ' +
  'a RetinaFace has three whose last axes are 4, 2 and 10.';

/**
 * Which family a face detector belongs to, by the names and shapes of its outputs, whatever their order.
 * @throws BallastError invalid-model where it belongs to none: the message lists what it has and what is known
 */
export function detectorLayout(outputs: readonly OutputShape[]): DetectorLayout {
  if (isYunet(outputs)) return 'yunet';
  const lastAxes = outputs
    .map(({ dims }) => (dims.length === 2 || dims.length === 3 ? dims.at(-1) : undefined))
    .sort((a = 0, b = 0) => a - b)
    .join();
  if (lastAxes === '1,1,1,4,4,4,10,10,10') return 'scrfd';
  if (lastAxes === '2,4,10') return 'retinaface';
  const found = outputs.map(({ name, dims }) => `"${name}" [${dims.join(', ')}]`).join(', ');
  throw new BallastError(
    'invalid-model',
    `This is no face detector whose outputs are known: it has ${found === '' ? 'no outputs' : found}. ${KNOWN}`,
  );
}

/**
 * Faces from the raw outputs of a detector for one picture.
 * @param layout - the detector's family, from `detectorLayout`
 * @param outputs - tensors by name, of a batch of one
 * @param size - of the detector's input in pixels
 * @param threshold - the least score of a face, from 0 to 1
 * @returns faces in pixels of the detector's input, those of one person not yet merged (`suppress`); rows with numbers
 *   that are not finite, and boxes without area, are left out
 * @throws BallastError invalid-model where the outputs do not go with the layout and the size; invalid-input where the
 *   size or the threshold is out of range
 */
export function decodeFaces(
  layout: DetectorLayout,
  outputs: DetectorOutputs,
  size: InputSize,
  threshold: number,
): Face[] {
  for (const [side, pixels] of Object.entries({ width: size.width, height: size.height })) {
    if (Number.isSafeInteger(pixels) && pixels >= 1) continue;
    throw new BallastError(
      'invalid-input',
      `The ${side} of the face detector's input is ${pixels}; it must be a whole number of at least 1.`,
    );
  }
  if (!(threshold >= 0 && threshold <= 1)) {
    throw new BallastError(
      'invalid-input',
      `The score threshold of the face detector is ${threshold}; it must be from 0 to 1.`,
    );
  }
  return DECODERS[layout](outputs, size, threshold);
}

function isYunet(outputs: readonly OutputShape[]): boolean {
  const lastAxes = new Map(outputs.map(({ name, dims }) => [name, dims.at(-1)]));
  return Object.entries(YUNET_HEADS).every(([head, columns]) =>
    STRIDES.every((stride) => {
      const last = lastAxes.get(`${head}_${stride}`);
      return last === columns || last === -1;
    }),
  );
}
