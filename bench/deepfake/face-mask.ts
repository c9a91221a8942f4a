import type { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { LFW_CENTRE, LFW_LANDMARKS, LFW_SIDE, type Point } from './face-archive.js';
import { between } from './pixels.js';

/** Nodes of the elastic field along a side. */
const NODES = 9;
/** No outline goes farther than so many pixels from the middle. */
const REACH = 80;
/** How far the middle of the face's outline is above the tip of the nose, in pixels. */
const ABOVE_NOSE = 2;

/**
 * A soft mask of the face of an aligned picture: an ellipse, or the hull of the landmarks with brows and chin, pulled out
 * of shape and blurred.
 * @returns `[250 * 250]`, in [0, 1]
 */
export function faceMask(random: SeededRandom): Float32Array {
  const inside = random.uniform() < 0.5 ? ellipse(random) : hull(random);
  const amplitude = between(random, 1, 8);
  const [fieldX, fieldY] = [field(random), field(random)];
  const mask = new Float32Array(LFW_SIDE * LFW_SIDE);
  const [cx, cy] = LFW_CENTRE;
  for (let y = cy - REACH; y < cy + REACH; y++) {
    for (let x = cx - REACH; x < cx + REACH; x++) {
      const [dx, dy] = [fieldAt(fieldX, x, y), fieldAt(fieldY, x, y)];
      if (inside(x + amplitude * dx, y + amplitude * dy)) mask[y * LFW_SIDE + x] = 1;
    }
  }
  return blurred(mask, LFW_SIDE, between(random, 1.5, 7));
}

type Outline = (x: number, y: number) => boolean;

function ellipse(random: SeededRandom): Outline {
  const [rx, ry] = [between(random, 30, 42), between(random, 38, 52)];
  const [cx, cy] = [LFW_CENTRE[0], LFW_CENTRE[1] - ABOVE_NOSE];
  return (x, y) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1;
}

function hull(random: SeededRandom): Outline {
  const { eyes, nose, mouth } = LFW_LANDMARKS;
  const [brow, side, chin] = [between(random, 6, 20), between(random, 4, 16), between(random, 6, 22)];
  const corners: Point[] = [
    [eyes[0][0] - side, eyes[0][1]],
    [eyes[0][0], eyes[0][1] - brow],
    [eyes[1][0], eyes[1][1] - brow],
    [eyes[1][0] + side, eyes[1][1]],
    [mouth[1][0] + side, mouth[1][1]],
    [nose[0], mouth[0][1] + chin],
    [mouth[0][0] - side, mouth[0][1]],
  ];
  const moved = corners.map(([x, y]): Point => [x + between(random, -4, 4), y + between(random, -4, 4)]);
  return (x, y) => isInside(moved, x, y);
}

/** By the even-odd rule. */
function isInside(corners: readonly Point[], x: number, y: number): boolean {
  let inside = false;
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % corners.length];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  });
  return inside;
}

function field(random: SeededRandom): Float64Array {
  return Float64Array.from({ length: NODES * NODES }, () => between(random, -1, 1));
}

/** Between the nodes, bilinear. */
function fieldAt(nodes: Float64Array, x: number, y: number): number {
  const [u, v] = [(x / LFW_SIDE) * (NODES - 1), (y / LFW_SIDE) * (NODES - 1)];
  const [left, top] = [Math.floor(u), Math.floor(v)];
  const [fx, fy] = [u - left, v - top];
  const at = (row: number, column: number): number => nodes[row * NODES + column];
  const upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx;
  const lower = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx;
  return upper * (1 - fy) + lower * fy;
}

/**
 * Blurs by a Gaussian, rows and then columns; beyond the border there is nothing.
 * @param plane - `[side * side]`
 * @param sigma - in pixels
 */
export function blurred(plane: Float32Array, side: number, sigma: number): Float32Array {
  const reach = Math.ceil(3 * sigma);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
  );
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  const along = (from: Float32Array, step: number, across: number): Float32Array => {
    const out = new Float32Array(from.length);
    for (let line = 0; line < side; line++) {
      for (let place = 0; place < side; place++) {
        const [first, last] = [Math.max(0, place - reach), Math.min(side - 1, place + reach)];
        let value = 0;
        for (let other = first; other <= last; other++) {
          value += kernel[other - place + reach] * from[line * across + other * step];
        }
        out[line * across + place * step] = value / sum;
      }
    }
    return out;
  };
  return along(along(plane, 1, side), side, 1);
}
