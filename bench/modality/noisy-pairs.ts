import { join } from 'node:path';
import sharp from 'sharp';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { readDigits } from '../prompt/shifted-digits.js';
import { readZip } from '../shift/zip-archive.js';

/** A picture and a recording of the same digit, encoded. */
export interface Pair {
  readonly image: Uint8Array;
  readonly audio: Uint8Array;
  readonly label: string;
}

/** The speakers that the network never heard. */
const TEST_SPEAKERS = new Set(['theo', 'yweweler']);
const SIDE = 28;
const RATE = 8000;
/** Of pixels in [0, 1], and as a share of a recording's own level: what makes both modalities worth having. */
const IMAGE_NOISE = 0.9;
const AUDIO_NOISE = 0.5;

/**
 * Pairs of test digits under noise: every recording of the test speakers, each with a random test picture of its digit.
 * @param data - the folder of mnist/ and fsdd.zip
 */
export async function noisyPairs(data: string, seed: number): Promise<Pair[]> {
  const digits = await readDigits(join(data, 'mnist'), 't10k');
  const byClass = Array.from({ length: 10 }, (_, digit) =>
    [...digits.labels.keys()].filter((index) => digits.labels[index] === digit),
  );
  const random = new SeededRandom(seed, 1);
  const noise = new GaussianNoise(seed, 2);
  const pairs: Pair[] = [];
  for (const { path, bytes } of await readZip(join(data, 'fsdd.zip'))) {
    const found = /(\d)_([a-z]+)_\d+\.wav$/.exec(path);
    if (found === null || !TEST_SPEAKERS.has(found[2])) continue;
    const label = found[1];
    const own = byClass[Number(label)];
    const index = own[Math.floor(random.uniform() * own.length)];
    pairs.push({ label, image: await noisyPng(digits.pixels, index, noise), audio: noisyWav(bytes, noise) });
  }
  return pairs;
}

function noisyPng(pixels: Uint8Array, index: number, noise: GaussianNoise): Promise<Buffer> {
  const digit = pixels.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE);
  const noisy = Uint8Array.from(digit, (pixel) =>
    Math.round(Math.min(255, Math.max(0, pixel + 255 * IMAGE_NOISE * noise.next()))),
  );
  return sharp(noisy, { raw: { width: SIDE, height: SIDE, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
}

/** A second of 16-bit sound: the recording, then silence, noise over both. */
function noisyWav(wav: Uint8Array, noise: GaussianNoise): Uint8Array {
  const view = new DataView(wav.buffer, wav.byteOffset, wav.byteLength);
  const begin = 44;
  const out = Buffer.alloc(begin + 2 * RATE);
  out.set(wav.subarray(0, begin));
  out.writeUInt32LE(out.length - 8, 4);
  out.writeUInt32LE(2 * RATE, 40);
  const clean = Array.from({ length: Math.min(RATE, (wav.byteLength - begin) >> 1) }, (_, i) =>
    view.getInt16(begin + 2 * i, true),
  );
  const level = Math.sqrt(clean.reduce((sum, value) => sum + value ** 2, 0) / clean.length);
  for (let i = 0; i < RATE; i++) {
    const at = begin + 2 * i;
    const value = Math.round((clean.at(i) ?? 0) + AUDIO_NOISE * level * noise.next());
    out.writeInt16LE(Math.min(32767, Math.max(-32768, value)), at);
  }
  return out;
}
