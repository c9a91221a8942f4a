import { SeededRandom } from '../../runtime/seeded-random.js';

/** Needles of ice grow at 60 degrees to each other. */
const DIRECTIONS = [0, Math.PI / 3, (2 * Math.PI) / 3];
/** Octaves of a ridge at most; fewer where the last would be finer than two pixels. */
const OCTAVES = 3;
/** Cells of noise on the shorter side of the pane, along a needle and across. */
const [ALONG, ACROSS] = [2, 9];
/** Ice is a little blue. */
const TINT = [0.86, 0.95, 1];
/** Grey levels of a pane without ice, and how much brighter the thickest ice is. */
const [PANE, ICE] = [25, 235];

/**
 * Draws ice on a pane of glass: ridges of noise in three directions (multifractals as of Musgrave, 1994), bent by more
 * noise, that grow from up to four corners towards the middle.
 * @param width - pixels, as `height`; the pattern grows with the shorter side
 * @returns `[height, width, 3]`, grey levels from 0 to 255
 */
export function iceOn(width: number, height: number, seeds: readonly number[]): Float64Array {
  const random = new SeededRandom(...seeds);
  const order = random.permutation(256);
  const corners = cornersOf(width, height, random);
  const turn = random.uniform() * Math.PI;
  const turns = DIRECTIONS.map((direction) => [Math.cos(turn + direction), Math.sin(turn + direction)]);
  const side = Math.min(width, height);
  const octaves = Math.min(Math.max(Math.floor(Math.log2(side / ACROSS)), 1), OCTAVES);
  const out = new Float64Array(3 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / side, y / side];
      const bentU = u + 0.2 * (noiseAt(order, 3 * u, 3 * v) - 0.5);
      const bentV = v + 0.2 * (noiseAt(order, 3 * u + 40, 3 * v) - 0.5);
      let needles = 0;
      for (const [cos, sin] of turns) {
        const ridge = ridgesAt(
          order,
          (bentU * cos + bentV * sin) * ALONG,
          (bentV * cos - bentU * sin) * ACROSS,
          octaves,
        );
        if (ridge > needles) needles = ridge;
      }
      const growth = growthAt(corners, bentU, bentV);
      const level = PANE + ICE * growth * (0.15 + 0.85 * needles * needles);
      for (const tint of TINT) out[at++] = level * tint;
    }
  }
  return out;
}

interface Corner {
  readonly u: number;
  readonly v: number;
  readonly reach: number;
}

/** Corners that ice grows from, each with how far it reaches in shorter sides; at least one always. */
function cornersOf(width: number, height: number, random: SeededRandom): readonly Corner[] {
  const side = Math.min(width, height);
  const corners = [0, 1, 2, 3].map((i) => ({
    u: ((i & 1) * width) / side,
    v: ((i >> 1) * height) / side,
    reach: 0.5 + 0.9 * random.uniform(),
  }));
  const frozen = 1 + Math.floor(random.uniform() * 4);
  return Array.from(random.permutation(4).subarray(0, frozen), (i) => corners[i]);
}

/** How thick the ice is, from 0.15, the breath on the pane, to 1 at a corner. */
function growthAt(corners: readonly Corner[], u: number, v: number): number {
  let thickest = 0;
  for (const corner of corners) {
    const near = 1.25 - Math.sqrt((u - corner.u) ** 2 + (v - corner.v) ** 2) / corner.reach;
    if (near > thickest) thickest = near;
  }
  const part = Math.min(thickest, 1);
  return 0.15 + 0.85 * part * part * (3 - 2 * part);
}

/** Noise folded at its middle, so that it has sharp ridges; octaves of half the size count where there are ridges. */
function ridgesAt(order: Uint32Array, u: number, v: number, octaves: number): number {
  let [sum, share, total] = [0, 1, 0];
  for (let octave = 0, size = 1; octave < octaves; octave++, size *= 2) {
    const ridge = 1 - Math.abs(2 * noiseAt(order, u * size, v * size + 17 * octave) - 1);
    const sharp = ridge * ridge;
    sum += share * sharp;
    total += share;
    share *= 0.3 + 0.4 * sharp;
  }
  return sum / total;
}

/** Noise in [0, 1] between random values on a lattice of whole numbers, which repeats after 256. */
function noiseAt(order: Uint32Array, u: number, v: number): number {
  const [column, row] = [Math.floor(u), Math.floor(v)];
  const [x, y] = [u - column, v - row];
  const [right, down] = [x * x * (3 - 2 * x), y * y * (3 - 2 * y)];
  const [above, below] = [order[row & 255], order[(row + 1) & 255]];
  const upper = order[(column + above) & 255] * (1 - right) + order[(column + 1 + above) & 255] * right;
  const lower = order[(column + below) & 255] * (1 - right) + order[(column + 1 + below) & 255] * right;
  return (upper * (1 - down) + lower * down) / 255;
}
