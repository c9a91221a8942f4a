import sharp from 'sharp';
import { readZip } from './zip-archive.js';

/** 8-bit RGB pixels, interleaved. */
export interface Picture {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A labelled set of pictures, as they are before any shift. */
export interface TestImages {
  readonly pictures: readonly Picture[];
  /** Index into the model's labels, for each picture. */
  readonly labels: readonly number[];
}

/**
 * Decodes the pictures of a zip that has a folder for each class.
 * @param classes - the model's labels, which are the folders' names
 * @param perClass - pictures of each class, at most
 * @throws Error where a folder is no class of the model
 */
export async function readTestImages(
  zip: string,
  classes: readonly string[],
  perClass: number,
): Promise<TestImages> {
  const entries = await readZip(zip);
  const taken = new Map<number, number>();
  const chosen = entries.flatMap(({ path, bytes }) => {
    const label = classes.indexOf(path.split('/')[0]);
    if (label < 0) throw new Error(`${zip}: ${path} is in no folder of ${classes.join(', ')}.`);
    const before = taken.get(label) ?? 0;
    taken.set(label, before + 1);
    return before < perClass ? [{ label, bytes }] : [];
  });
  return {
    labels: chosen.map(({ label }) => label),
    pictures: await Promise.all(chosen.map(({ bytes }) => decode(bytes))),
  };
}

async function decode(bytes: Uint8Array): Promise<Picture> {
  const { data, info } = await sharp(bytes).toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  return { pixels: data, width: info.width, height: info.height };
}

/** The pictures as PNG files, which keep every pixel as it is. */
export function encodePngs(pictures: readonly Picture[]): Promise<Uint8Array[]> {
  return Promise.all(
    pictures.map(({ pixels, width, height }) =>
      sharp(pixels, { raw: { width, height, channels: 3 } })
        .png({ compressionLevel: 1 })
        .toBuffer(),
    ),
  );
}
