import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import { clamped, decoded } from './pixels.js';
import { H264, runFfmpeg } from './video-file.js';
import type { ArchivedFace } from './face-archive.js';

const [WIDTH, HEIGHT, RATE, SECONDS] = [1280, 720, 30, 10];
const FACE_SIDE = 420;
/** Of a common stream of this size, in bits a second. */
const BIT_RATE = '3M';

/** A video on the disk. */
export interface WrittenVideo {
  readonly path: string;
  readonly seconds: number;
  readonly megabytes: number;
}

/**
 * Writes a video of 720p, 30 frames a second, 3 Mbit/s: a face that goes round over a textured canvas, with grain. It
 * comes back to where it was in 10 seconds, and longer ones repeat it.
 * @param folder - what it is written to
 * @param times - how often the 10 seconds come
 */
export async function writeLongVideo(
  folder: string,
  { jpeg }: ArchivedFace,
  times: number,
  seed: number,
): Promise<WrittenVideo> {
  const [canvas, face] = [join(folder, 'canvas.png'), join(folder, 'face.png')];
  await writeFile(canvas, await canvasPng(seed));
  await writeFile(face, await facePng(await decoded(jpeg)));
  const once = join(folder, 'once.mp4');
  const turn = `2*PI*t/${SECONDS}`;
  const place = `x='(W-w)/2*(1+0.8*sin(${turn}))':y='(H-h)/2*(1+0.8*cos(2*${turn}))'`;
  const still = (path: string): string[] => ['-loop', '1', '-framerate', String(RATE), '-i', path];
  await runFfmpeg([
    ...[...still(canvas), ...still(face), '-filter_complex', `[0][1]overlay=${place},noise=alls=8:allf=t`],
    ...['-t', String(SECONDS), ...H264, '-b:v', BIT_RATE, '-maxrate', BIT_RATE, '-bufsize', '6M', once],
  ]);
  const path = join(folder, 'video.mp4');
  await runFfmpeg(['-stream_loop', String(times - 1), '-i', once, '-c', 'copy', path]);
  return { path, seconds: SECONDS * times, megabytes: (await stat(path)).size / 1e6 };
}

/** Noise of a few sizes, so that every part has something to code. */
async function canvasPng(seed: number): Promise<Buffer> {
  const noise = new GaussianNoise(seed, 21);
  const layer = (side: number, deviation: number): Promise<Buffer> => {
    const [width, height] = [Math.ceil(WIDTH / side), Math.ceil(HEIGHT / side)];
    const data = Uint8Array.from({ length: width * height * 3 }, () =>
      clamped(128 + deviation * noise.next()),
    );
    return sharp(data, { raw: { width, height, channels: 3 } })
      .resize(WIDTH, HEIGHT, { fit: 'fill', kernel: 'cubic' })
      .raw()
      .toBuffer();
  };
  const layers = await Promise.all([layer(80, 40), layer(16, 20), layer(3, 10)]);
  const data = layers[0].map((value, i) => clamped(value + layers[1][i] + layers[2][i] - 256));
  return sharp(data, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .png()
    .toBuffer();
}

/** The picture made larger, in an oval. */
function facePng({ data, width, height }: RgbPicture): Promise<Buffer> {
  const oval = `<svg width="${FACE_SIDE}" height="${FACE_SIDE}"><ellipse cx="50%" cy="52%" rx="30%" ry="40%"/></svg>`;
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(FACE_SIDE, FACE_SIDE)
    .ensureAlpha()
    .composite([{ input: Buffer.from(oval), blend: 'dest-in' }])
    .png()
    .toBuffer();
}
