import { createCipheriv } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

/**
 * Makes `examples/burst`: the kitten of `cat.jpg` as a hand-held camera with a grainy sensor would take it,
 * twelve times in a row. Run as `npx tsx examples/make-burst.ts [SEED]`.
 */

const frames = 12;
const side = 64;
/** The least part of the picture that a frame shows; how much and which part is drawn for each frame. */
const closest = 0.7;
/** Standard deviation of the grain, in grey levels of 256. */
const grain = 8;

/** Uniform numbers in [0, 1), the same ones for the same seed on every machine: a cipher's key stream. */
function uniform(seed: number): () => number {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(4);
  return () => cipher.update(zeros).readUInt32LE() / 2 ** 32;
}

/** A normal number by the Box-Muller transform. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/**
 * Frames of a picture, cut out a little differently and with fresh grain each.
 * @param picture - an image file
 * @param seed - same seed, same frames
 * @returns JPEG files
 */
export async function makeBurst(picture: string, seed: number): Promise<Buffer[]> {
  const random = uniform(seed);
  const { width, height } = await sharp(picture).metadata();
  const burst: Buffer[] = [];
  for (let frame = 0; frame < frames; frame++) {
    const cut = Math.round(Math.min(width, height) * (closest + (1 - closest) * random()));
    const left = Math.floor((width - cut) * random());
    const top = Math.floor((height - cut) * random());
    const { data, info } = await sharp(picture)
      .extract({ left, top, width: cut, height: cut })
      .resize(side, side)
      .raw()
      .toBuffer({ resolveWithObject: true });
    const grainy = Uint8ClampedArray.from(data, (value) => value + grain * normal(random));
    burst.push(await sharp(grainy, { raw: info }).jpeg({ quality: 85 }).toBuffer());
  }
  return burst;
}

if (process.argv[1] === import.meta.filename) {
  const folder = join(import.meta.dirname, 'burst');
  await mkdir(folder, { recursive: true });
  const burst = await makeBurst(join(import.meta.dirname, 'cat.jpg'), Number(process.argv[2] ?? 1));
  await Promise.all(
    burst.map((file, frame) => {
      return writeFile(join(folder, `frame-${String(frame + 1).padStart(2, '0')}.jpg`), file);
    }),
  );
}
