import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { LFW_PLACE, LFW_SIDE, type ArchivedFace, type FaceSet, type KnownPlace } from './face-archive.js';
import { selfBlended, swapped } from './forgeries.js';
import { between, decoded, jpegOf, noisy, scaledTo } from './pixels.js';

/** A picture to be judged. */
export interface Sample {
  readonly file: Uint8Array;
  readonly fake: boolean;
  /** The picture that it was made of. */
  readonly origin: string;
}

/** Pictures of one kind of fake, with the real ones that they are told from. */
export interface PictureSet {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Where the face is, if that is known and there may be others. */
  readonly place?: KnownPlace;
}

export type Archive = ReadonlyMap<FaceSet, readonly ArchivedFace[]>;

/** Streams of random numbers, one a purpose. */
const [BLEND, SWAP, OTHERS, NOISE, PICK] = [1, 2, 3, 4, 5];
/** Saved last with this quality, where compression is not what is looked at. */
const HIGH_QUALITY = 95;

/** Held-out pictures of a set, in random order. */
export function heldOut(archive: Archive, set: FaceSet, most: number, seed: number): ArchivedFace[] {
  return picked(
    archive.get(set)!.filter((face) => face.heldOut),
    most,
    seed,
  );
}

/** Self-blended pictures of held-out people: each a real and a fake one, saved with the same quality of JPEG. */
export async function selfBlendedSet(faces: readonly ArchivedFace[], seed: number): Promise<PictureSet> {
  const samples: Sample[] = [];
  for (const [i, { jpeg, path }] of faces.entries()) {
    const random = new SeededRandom(seed, BLEND, i);
    const { real, fake } = await selfBlended(await decoded(jpeg), random);
    samples.push(...(await pairOf(real, fake, path, random)));
  }
  return { name: 'self-blended', samples, place: LFW_PLACE };
}

/** Face swaps: each held-out person with the face of the next. */
export async function swappedSet(faces: readonly ArchivedFace[], seed: number): Promise<PictureSet> {
  const samples: Sample[] = [];
  const pictures = await Promise.all(faces.map(({ jpeg }) => decoded(jpeg)));
  for (const [i, { path }] of faces.entries()) {
    const random = new SeededRandom(seed, SWAP, i);
    const fake = swapped(pictures[i], pictures[(i + 1) % pictures.length], random);
    samples.push(...(await pairOf(pictures[i], fake, path, random)));
  }
  return { name: 'face swaps', samples, place: LFW_PLACE };
}

/** Where the archive has fakes and real pictures of one source. */
export type ArchivedSource = 'ciplab' | 'ffhq-stylegan2';

/** Fakes of the archive against held-out real pictures of the same source, all saved again. */
export async function archivedSet(
  archive: Archive,
  {
    name,
    source,
    allFakes,
  }: { readonly name: string; readonly source: ArchivedSource; readonly allFakes: boolean },
  most: number,
  seed: number,
): Promise<PictureSet> {
  const fakes = allFakes
    ? picked(archive.get(`${source}/fake`)!, most, seed)
    : heldOut(archive, `${source}/fake`, most, seed);
  const reals = heldOut(archive, `${source}/real`, most, seed);
  const samples: Sample[] = [];
  for (const [i, { jpeg, path }] of [...fakes, ...reals].entries()) {
    const file = await jpegOf(await decoded(jpeg), qualityOf(new SeededRandom(seed, OTHERS, i)));
    samples.push({ file, fake: i < fakes.length, origin: path });
  }
  return { name, samples };
}

/** What may happen to a picture on its way. */
export const DEGRADATIONS = ['JPEG of quality 40', 'half the size', 'noise of 8 grey levels'] as const;

/** The same pictures, worse. Where they are smaller, so is where the face is. */
export async function degraded(
  { name, samples, place }: PictureSet,
  how: (typeof DEGRADATIONS)[number],
  seed: number,
): Promise<PictureSet> {
  const worse = async (picture: RgbPicture, i: number): Promise<Uint8Array> => {
    if (how === 'JPEG of quality 40') return jpegOf(picture, 40);
    if (how === 'noise of 8 grey levels') {
      return jpegOf(noisy(picture, 8, new GaussianNoise(seed, NOISE, i)), HIGH_QUALITY);
    }
    return jpegOf(await scaledTo(picture, LFW_SIDE / 2, LFW_SIDE / 2), HIGH_QUALITY);
  };
  const files: Sample[] = [];
  for (const [i, sample] of samples.entries()) {
    files.push({ ...sample, file: await worse(await decoded(sample.file), i) });
  }
  const scale = how === 'half the size' ? 0.5 : 1;
  return {
    name: `${name}, ${how}`,
    samples: files,
    ...(place && { place: scaled(place, scale) }),
  };
}

function scaled({ centre: [x, y], reach }: KnownPlace, scale: number): KnownPlace {
  return { centre: [x * scale, y * scale], reach: reach * scale };
}

async function pairOf(
  real: RgbPicture,
  fake: RgbPicture,
  origin: string,
  random: SeededRandom,
): Promise<Sample[]> {
  const quality = qualityOf(random);
  return [
    { file: await jpegOf(real, quality), fake: false, origin },
    { file: await jpegOf(fake, quality), fake: true, origin },
  ];
}

function qualityOf(random: SeededRandom): number {
  return Math.round(between(random, 60, 95));
}

function picked<T>(all: readonly T[], most: number, seed: number): T[] {
  const order = new SeededRandom(seed, PICK).permutation(all.length);
  return Array.from(order.subarray(0, Math.min(most, all.length)), (index) => all[index]);
}
