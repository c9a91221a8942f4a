import { crc32 } from 'node:zlib';
import { readZip } from '../shift/zip-archive.js';

/** The folders of the archive. */
export const FACE_SETS = [
  'lfw/real',
  'ciplab/real',
  'ciplab/fake',
  'ffhq-stylegan2/real',
  'ffhq-stylegan2/fake',
] as const;
export type FaceSet = (typeof FACE_SETS)[number];

/** A picture of the archive. */
export interface ArchivedFace {
  readonly path: string;
  readonly jpeg: Uint8Array;
  /** Of the fifth that no training sees. */
  readonly heldOut: boolean;
}

/** A point of a picture in pixels, x before y. */
export type Point = readonly [x: number, y: number];

/** The side of a picture of `lfw/real`, which are all aligned. */
export const LFW_SIDE = 250;

/** Where the mean face of `lfw/real` has both eyes, the tip of the nose and the corners of the mouth. */
export const LFW_LANDMARKS = {
  eyes: [
    [105, 111.5],
    [145, 111.5],
  ],
  nose: [125, 135],
  mouth: [
    [108.5, 157],
    [142.5, 157],
  ],
} as const satisfies { eyes: readonly Point[]; nose: Point; mouth: readonly Point[] };

/** The middle of that face. */
export const LFW_CENTRE: Point = [125, 135];

/** Where the middle of a face is known to be, and how far from it that of its box may be found, in pixels. */
export interface KnownPlace {
  readonly centre: Point;
  readonly reach: number;
}

export const LFW_PLACE: KnownPlace = { centre: LFW_CENTRE, reach: 30 };

/**
 * Reads the archive of faces, each set in the order of its paths.
 * @throws Error where there is no such zip, or a set has no picture
 */
export async function readFaces(zip: string): Promise<ReadonlyMap<FaceSet, readonly ArchivedFace[]>> {
  const entries = (await readZip(zip)).sort((a, b) => (a.path < b.path ? -1 : 1));
  return new Map(
    FACE_SETS.map((set) => {
      const own = entries.filter(({ path }) => path.startsWith(`${set}/`) && path.endsWith('.jpg'));
      if (own.length === 0) throw new Error(`${zip} has no picture in ${set}/.`);
      return [set, own.map(({ path, bytes }) => ({ path, jpeg: bytes, heldOut: isHeldOut(path) }))];
    }),
  );
}

/** Whether a picture is of the fifth that is tested on; all pictures of one person are on one side. */
export function isHeldOut(path: string): boolean {
  const key = path.startsWith('lfw/') ? path.split('/')[2] : path.replace(/\.[^.]*$/, '');
  return crc32(key) % 5 === 0;
}
