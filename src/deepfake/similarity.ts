import { BallastError } from '../errors.js';
import type { Point } from './face.js';

/**
 * A similarity transform of the plane, scale, rotation and translation without reflection:
 * x' = a·x − b·y + tx, y' = b·x + a·y + ty. Its scale is √(a² + b²), its angle atan2(b, a).
 */
export interface Similarity {
  readonly a: number;
  readonly b: number;
  readonly tx: number;
  readonly ty: number;
}

/** Points that determine a similarity. */
const LEAST_POINTS = 2;
/** A spread below this part of the coordinates is rounding, so that points so close count as equal. */
const EQUAL = 1e-12;
/** Residuals below this part of the spread of the points are rounding, so that such points count as inliers. */
const EXACT = 1e-9;

/** Where a similarity takes a point. */
export function apply({ a, b, tx, ty }: Similarity, { x, y }: Point): Point {
  return { x: a * x - b * y + tx, y: b * x + a * y + ty };
}

/** The similarity that does `first`, then `then`. */
export function compose(then: Similarity, first: Similarity): Similarity {
  const { x: tx, y: ty } = apply(then, { x: first.tx, y: first.ty });
  return { a: then.a * first.a - then.b * first.b, b: then.b * first.a + then.a * first.b, tx, ty };
}

/**
 * The similarity that takes everything back.
 * @throws BallastError invalid-input where the scale is 0 or so extreme that there is none in float64
 */
export function invert({ a, b, tx, ty }: Similarity): Similarity {
  const square = a * a + b * b;
  const [ia, ib] = [a / square, -b / square];
  const inverse = { a: ia, b: ib, tx: ib * ty - ia * tx, ty: -ib * tx - ia * ty };
  if (Object.values(inverse).every(Number.isFinite)) return inverse;
  throw new BallastError(
    'invalid-input',
    `A similarity with a = ${a}, b = ${b}, tx = ${tx} and ty = ${ty} has no inverse; its numbers must be finite and its scale √(a² + b²) more than 0.`,
  );
}

/**
 * The similarity that takes one set of points closest to another, by least squares (Umeyama, "Least-squares estimation
 * of transformation parameters between two point patterns", PAMI 1991; in the plane and without reflection it has a
 * closed form).
 * @param from - at least 2 points, not all equal
 * @param to - where each of them should go, not all equal
 * @throws BallastError invalid-input where the counts differ, there are fewer than 2 points, a number is not finite, all
 *   points of a set are equal, or no scale but 0 fits best (points that are reflected, for instance)
 */
export function fitSimilarity(from: readonly Point[], to: readonly Point[]): Similarity {
  checkPoints(from, to);
  const [centre, target] = [mean(from), mean(to)];
  let [square, along, across] = [0, 0, 0];
  from.forEach((point, i) => {
    const [x, y] = [point.x - centre.x, point.y - centre.y];
    const [u, v] = [to[i].x - target.x, to[i].y - target.y];
    square += x * x + y * y;
    along += x * u + y * v;
    across += x * v - y * u;
  });
  const [a, b] = [along / square, across / square];
  if (!(Math.hypot(along, across) > EQUAL * Math.sqrt(square * squareAround(to, target)))) {
    throw new BallastError(
      'invalid-input',
      'No similarity fits these points: the best one shrinks them to a single point. They may be reflected.',
    );
  }
  return { a, b, tx: target.x - a * centre.x + b * centre.y, ty: target.y - b * centre.x - a * centre.y };
}

/**
 * The similarity that takes most of one set of points closest to another, by least median of squares (Rousseeuw, "Least
 * Median of Squares Regression", JASA 1984): of the similarities that fit a pair of points exactly, the one with the
 * least median of squared distances; then least squares over the inliers, the points within 2.5 times the robust scale
 * 1.4826·(1 + 5 / (n − 2))·√median. Nearly half of the points may lie anywhere.
 *
 * Tries every pair, so that it needs no random numbers and gives the same answer every time; the cost grows with the
 * third power of the count, which suits landmarks (10 pairs of 5 points).
 * @param from - at least 2 points, not all equal
 * @param to - where each of them should go, not all equal
 * @throws BallastError invalid-input as `fitSimilarity` does, and where no pair of points differs in both sets
 */
export function fitSimilarityLeastMedian(from: readonly Point[], to: readonly Point[]): Similarity {
  checkPoints(from, to);
  if (from.length === LEAST_POINTS) return fitSimilarity(from, to);
  let best: Float64Array | undefined;
  let leastMedian = Infinity;
  for (let i = 0; i < from.length; i++) {
    for (let j = i + 1; j < from.length; j++) {
      const pair = [i, j];
      const [pairFrom, pairTo] = [pair.map((k) => from[k]), pair.map((k) => to[k])];
      // Two points that all but coincide say nothing of scale and angle.
      if (spreadOf(pairFrom) <= EXACT * spreadOf(from) || spreadOf(pairTo) <= EXACT * spreadOf(to)) continue;
      const residuals = squaredResiduals(fitSimilarity(pairFrom, pairTo), from, to);
      const median = medianOf(residuals);
      if (median >= leastMedian) continue;
      [best, leastMedian] = [residuals, median];
    }
  }
  if (best === undefined) throw equalPoints('No two points differ in both sets');
  const scale = 1.4826 * (1 + 5 / (from.length - LEAST_POINTS)) * Math.sqrt(leastMedian);
  const rounding = EXACT * spreadOf(to);
  const limit = Math.max(2.5 * scale, rounding) ** 2;
  const residuals = best;
  const isInlier = (_: Point, index: number): boolean => residuals[index] <= limit;
  return fitSimilarity(from.filter(isInlier), to.filter(isInlier));
}

function squaredResiduals(fit: Similarity, from: readonly Point[], to: readonly Point[]): Float64Array {
  return Float64Array.from(from, (point, i) => {
    const { x, y } = apply(fit, point);
    return (x - to[i].x) ** 2 + (y - to[i].y) ** 2;
  });
}

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function mean(points: readonly Point[]): Point {
  const sum = points.reduce((total, { x, y }) => ({ x: total.x + x, y: total.y + y }), { x: 0, y: 0 });
  return { x: sum.x / points.length, y: sum.y / points.length };
}

/** Sum of the squared distances from a centre. */
function squareAround(points: readonly Point[], centre: Point): number {
  return points.reduce((sum, { x, y }) => sum + (x - centre.x) ** 2 + (y - centre.y) ** 2, 0);
}

function spreadOf(points: readonly Point[]): number {
  return Math.sqrt(squareAround(points, mean(points)));
}

function areEqual(points: readonly Point[]): boolean {
  const largest = Math.max(...points.map(({ x, y }) => Math.max(Math.abs(x), Math.abs(y))));
  return spreadOf(points) <= EQUAL * largest;
}

function checkPoints(from: readonly Point[], to: readonly Point[]): void {
  if (from.length !== to.length || from.length < LEAST_POINTS) {
    throw new BallastError(
      'invalid-input',
      `There are ${from.length} points to take to ${to.length}; both sets need the same number, at least ${LEAST_POINTS}.`,
    );
  }
  for (const [name, points] of Object.entries({ from, to })) {
    const index = points.findIndex(({ x, y }) => !Number.isFinite(x) || !Number.isFinite(y));
    if (index >= 0) {
      const { x, y } = points[index];
      throw new BallastError(
        'invalid-input',
        `Point ${index} of "${name}" is (${x}, ${y}); it must be finite.`,
      );
    }
    if (areEqual(points)) throw equalPoints(`All points of "${name}" are equal`);
  }
}

function equalPoints(what: string): BallastError {
  return new BallastError('invalid-input', `${what}; at least two must differ to fix a scale and an angle.`);
}
