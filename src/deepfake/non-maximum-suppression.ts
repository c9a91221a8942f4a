import { BallastError } from '../errors.js';
import type { Box, Face } from './face.js';

/** Strips that the width of a picture is divided into at most. */
const MOST_STRIPS = 256;

/**
 * Greedy non-maximum suppression: takes the faces by falling score and drops each whose box overlaps one already taken
 * by more than `maxOverlap`, measured as intersection over union. Faces of equal score keep their order.
 *
 * Compares each face only with those taken that lie beside it: five thousand candidates cost a few milliseconds,
 * whether they are of one person or of as many.
 * @param faces - with finite numbers, in any order
 * @param maxOverlap - from 0 (no two boxes share any area) to 1 (nothing is dropped)
 * @param maxFaces - how many to take at most, at least 1; all when left out
 * @returns the faces taken, by falling score
 * @throws BallastError invalid-input where an option is out of range
 */
export function suppress(
  faces: readonly Face[],
  maxOverlap = 0.3,
  maxFaces = Number.POSITIVE_INFINITY,
): Face[] {
  if (!(maxOverlap >= 0 && maxOverlap <= 1)) {
    throw new BallastError('invalid-input', `maxOverlap is ${maxOverlap}; it must be from 0 to 1.`);
  }
  if (!(maxFaces >= 1)) {
    throw new BallastError('invalid-input', `maxFaces is ${maxFaces}; it must be at least 1.`);
  }
  const scores = Float64Array.from(faces, ({ score }) => score);
  const order = Uint32Array.from(faces, (_, index) => index);
  order.sort((one, other) => scores[other] - scores[one] || one - other);

  const taken: Face[] = [];
  const strips = new Strips(faces);
  for (const index of order) {
    if (taken.length + 1 > maxFaces) break;
    const face = faces[index];
    if (strips.overlaps(face.box, maxOverlap)) continue;
    strips.add(face.box);
    taken.push(face);
  }
  return taken;
}

/** Boxes sorted into vertical strips of the picture, so that a box is compared with those beside it only. */
class Strips {
  /** Left, top, right and bottom of the boxes that reach into each strip. */
  private readonly edges: number[][];
  private readonly left: number;
  private readonly width: number;

  /** @param faces - all that may be added or asked for */
  constructor(faces: readonly Face[]) {
    let [left, right, widths] = [Infinity, -Infinity, 0];
    for (const { box } of faces) {
      left = Math.min(left, box.x);
      right = Math.max(right, box.x + box.width);
      widths += box.width;
    }
    // As wide as a box on average: then a box reaches into two strips on average, whatever the sizes.
    this.width = Math.max(widths / faces.length, (right - left) / MOST_STRIPS);
    this.left = left;
    const count = Math.floor((right - left) / this.width) + 1;
    this.edges = Array.from({ length: count >= 1 ? count : 1 }, () => []);
  }

  add(box: Box): void {
    const [first, last] = this.reach(box);
    for (let strip = first; strip <= last; strip++) {
      this.edges[strip].push(box.x, box.y, box.x + box.width, box.y + box.height);
    }
  }

  /** Whether a box shares more than `maxOverlap` of its union with any that was added. */
  overlaps(box: Box, maxOverlap: number): boolean {
    const [first, last] = this.reach(box);
    for (let strip = first; strip <= last; strip++) {
      if (overlapsAny(this.edges[strip], box, maxOverlap)) return true;
    }
    return false;
  }

  private reach({ x, width }: Box): [number, number] {
    return [this.stripOf(x), this.stripOf(x + width)];
  }

  private stripOf(x: number): number {
    const strip = Math.floor((x - this.left) / this.width);
    return strip >= 0 ? Math.min(strip, this.edges.length - 1) : 0;
  }
}

function overlapsAny(edges: readonly number[], { x, y, width, height }: Box, maxOverlap: number): boolean {
  const [right, bottom] = [x + width, y + height];
  const area = (right - x) * (bottom - y);
  for (let i = 0; i < edges.length; i += 4) {
    const shared = Math.min(edges[i + 2], right) - Math.max(edges[i], x);
    if (shared <= 0) continue;
    const sharedHeight = Math.min(edges[i + 3], bottom) - Math.max(edges[i + 1], y);
    if (sharedHeight <= 0) continue;
    const intersection = shared * sharedHeight;
    const otherArea = (edges[i + 2] - edges[i]) * (edges[i + 3] - edges[i + 1]);
    if (intersection > maxOverlap * (otherArea + area - intersection)) return true;
  }
  return false;
}
