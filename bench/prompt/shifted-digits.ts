import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import sharp from 'sharp';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';

/** Side of a canvas in pixels. */
export const SIDE = 64;
const DIGIT = 28;
const CLASSES = 10;

/** RGB canvases `[N, 64, 64, 3]` of 8 bits, and the digit that counts in each. */
export interface Canvases {
  readonly pixels: Uint8Array;
  readonly labels: Uint32Array;
}

/** MNIST, as its files have it. */
export interface Digits {
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

/** A shifted set: how its shots and its test canvases are drawn. */
export interface ShiftedSet {
  readonly name: string;
  readonly draw: (
    digits: Digits,
    indices: Uint32Array,
    random: SeededRandom,
    isTest: boolean,
  ) => Promise<Canvases>;
}

/** The colour of each class: ten hues, dark enough for a white digit to stand out. */
const COLOURS = [
  [70, 10, 14],
  [10, 52, 21],
  [14, 21, 70],
  [66, 56, 10],
  [49, 14, 59],
  [10, 52, 56],
  [74, 38, 10],
  [38, 24, 14],
  [66, 31, 49],
  [31, 35, 38],
] as const;

/** Reads a split of MNIST. */
export async function readDigits(folder: string, split: 'train' | 't10k'): Promise<Digits> {
  const read = async (kind: string, header: number): Promise<Uint8Array> => {
    const bytes = await promisify(gunzip)(await readFile(join(folder, `${split}-${kind}.gz`)));
    return bytes.subarray(header);
  };
  return { pixels: await read('images-idx3-ubyte', 16), labels: await read('labels-idx1-ubyte', 8) };
}

/**
 * The paper's shifts on canvases of 64x64 (Oh et al., "BlackVIP", CVPR 2023, section 5.1).
 *
 * Biased-MNIST: a white digit on a coloured background, at any place and size. In the shots the colour is that of the
 * digit's class with probability rho; in the test with 1 - rho, and one of the other classes' otherwise.
 *
 * Loc-MNIST: the digit that counts somewhere at the edge, a random other one in the middle, whose area is the same or
 * four times as large.
 */
export const SHIFTED_SETS: readonly ShiftedSet[] = [
  { name: 'Biased-MNIST 0.8', draw: drawBiased(0.8) },
  { name: 'Biased-MNIST 0.9', draw: drawBiased(0.9) },
  { name: 'Loc-MNIST 1:1', draw: drawLocated(20, 20) },
  { name: 'Loc-MNIST 1:4', draw: drawLocated(16, 32) },
];

/** Plain canvases, as the classifier was trained on: one white digit on black, at any place and size. */
export const PLAIN_SET: ShiftedSet = {
  name: 'plain',
  draw: (digits, indices, random) => drawOn(digits, indices, random, () => [0, 0, 0]),
};

function drawBiased(rho: number): ShiftedSet['draw'] {
  return (digits, indices, random, isTest) =>
    drawOn(digits, indices, random, (label) => {
      const agrees = random.uniform() < (isTest ? 1 - rho : rho);
      const other = Math.floor(random.uniform() * (CLASSES - 1));
      return COLOURS[agrees ? label : other < label ? other : other + 1];
    });
}

async function drawOn(
  digits: Digits,
  indices: Uint32Array,
  random: SeededRandom,
  background: (label: number) => readonly number[],
): Promise<Canvases> {
  return drawEach(digits, indices, async (canvas, index, label) => {
    const colour = background(label);
    for (let i = 0; i < canvas.length; i++) canvas[i] = colour[i % 3];
    const side = Math.round(20 + 36 * random.uniform());
    const [x, y] = [random, random].map((r) => Math.floor(r.uniform() * (SIDE - side + 1)));
    await paste(canvas, digits, index, side, x, y);
  });
}

function drawLocated(side: number, middleSide: number): ShiftedSet['draw'] {
  return (digits, indices, random) =>
    drawEach(digits, indices, async (canvas, index) => {
      const along = Math.floor(random.uniform() * (SIDE - side + 1));
      const across = random.uniform() < 0.5 ? 0 : SIDE - side;
      const [x, y] = random.uniform() < 0.5 ? [along, across] : [across, along];
      await paste(canvas, digits, index, side, x, y);
      const other = Math.floor(random.uniform() * digits.labels.length);
      const middle = (SIDE - middleSide) / 2;
      await paste(canvas, digits, other, middleSide, middle, middle);
    });
}

async function drawEach(
  { labels }: Digits,
  indices: Uint32Array,
  draw: (canvas: Uint8Array, index: number, label: number) => Promise<void>,
): Promise<Canvases> {
  const size = SIDE * SIDE * 3;
  const pixels = new Uint8Array(indices.length * size);
  for (const [i, index] of indices.entries()) {
    await draw(pixels.subarray(i * size, (i + 1) * size), index, labels[index]);
  }
  return { pixels, labels: indices.map((index) => labels[index]) };
}

/** Lays a white digit over a canvas: its grey is how much of the canvas it covers. */
async function paste(
  canvas: Uint8Array,
  { pixels }: Digits,
  index: number,
  side: number,
  x: number,
  y: number,
): Promise<void> {
  const digit = pixels.subarray(index * DIGIT * DIGIT, (index + 1) * DIGIT * DIGIT);
  const cover = await sharp(digit, { raw: { width: DIGIT, height: DIGIT, channels: 1 } })
    .resize(side, side, { kernel: 'linear' })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
  for (let row = 0; row < side; row++) {
    for (let col = 0; col < side; col++) {
      const share = cover[row * side + col] / 255;
      const at = ((y + row) * SIDE + x + col) * 3;
      for (let c = at; c < at + 3; c++) canvas[c] = Math.round(canvas[c] + (255 - canvas[c]) * share);
    }
  }
}

/** Numbers of `perClass` digits of each class, in random order. */
export function pickPerClass({ labels }: Digits, perClass: number, random: SeededRandom): Uint32Array {
  const left = new Int32Array(CLASSES).fill(perClass);
  return random.permutation(labels.length).filter((index) => left[labels[index]]-- > 0);
}
