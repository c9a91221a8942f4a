import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import sharp from 'sharp';
import { Random } from '../shift/random.js';
import { readZip } from '../shift/zip-archive.js';

/** Pictures that are sent in turn, so that no cache anywhere sees the same bytes twice in a row. */
export const PICTURE_COUNT = 256;

const SIZE = 32;

/**
 * JPEG files to send.
 * @param source - a zip or a folder of them; undefined for made ones
 * @param count - how many
 * @throws Error where the source holds none
 */
export async function readPictures(source: string | undefined, count = PICTURE_COUNT): Promise<Buffer[]> {
  if (source === undefined) return makePictures(count);
  const files = extname(source) === '.zip' ? await fromZip(source) : await fromFolder(source);
  if (files.length === 0) throw new Error(`${source} holds no JPEG files.`);
  // Evenly over all of them: a sorted zip begins with many pictures of one class.
  return Array.from(
    { length: count },
    (_, i) => files[Math.floor((i * files.length) / count) % files.length],
  );
}

async function fromZip(zip: string): Promise<Buffer[]> {
  return (await readZip(zip)).filter(({ path }) => isJpeg(path)).map(({ bytes }) => bytes);
}

async function fromFolder(folder: string): Promise<Buffer[]> {
  const names = (await readdir(folder)).filter(isJpeg).sort();
  return Promise.all(names.map((name) => readFile(join(folder, name))));
}

function isJpeg(path: string): boolean {
  return /\.jpe?g$/i.test(path);
}

/** Smooth random blotches with a little noise, which make JPEGs of about the size of photographs. */
function makePictures(count: number): Promise<Buffer[]> {
  const random = new Random(1);
  return Promise.all(
    Array.from({ length: count }, () => {
      const waves = Array.from({ length: 9 }, () => random.normal() / 6);
      const pixels = Uint8ClampedArray.from({ length: 3 * SIZE * SIZE }, (_, i) => {
        const [x, y, channel] = [Math.floor(i / 3) % SIZE, Math.floor(i / (3 * SIZE)), i % 3];
        const [across, down, shift] = waves.slice(3 * channel, 3 * channel + 3);
        return 128 + 90 * Math.sin(x * across + y * down + 9 * shift) + 12 * random.normal();
      });
      return sharp(new Uint8Array(pixels.buffer), { raw: { width: SIZE, height: SIZE, channels: 3 } })
        .jpeg({ quality: 90 })
        .toBuffer();
    }),
  );
}
