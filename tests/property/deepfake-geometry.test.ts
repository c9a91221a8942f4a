import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Box, Face, Point } from '#ballast/deepfake/face.js';
import { suppress } from '#ballast/deepfake/non-maximum-suppression.js';
import {
  apply,
  compose,
  fitSimilarity,
  fitSimilarityLeastMedian,
  invert,
  type Similarity,
} from '#ballast/deepfake/similarity.js';
import { messageOf } from '#ballast/errors.js';
import { warp } from '#ballast/deepfake/warp.js';

const number = (min: number, max: number): fc.Arbitrary<number> =>
  fc.double({ min, max, noNaN: true, noDefaultInfinity: true });

const anySimilarity: fc.Arbitrary<Similarity> = fc
  .tuple(number(-4, 4), number(-Math.PI, Math.PI), number(-3000, 3000), number(-3000, 3000))
  .map(([power, angle, tx, ty]) => {
    const scale = 2 ** power;
    return { a: scale * Math.cos(angle), b: scale * Math.sin(angle), tx, ty };
  });

const anyPoint: fc.Arbitrary<Point> = fc.record({ x: number(-2000, 2000), y: number(-2000, 2000) });

/** Points that lie apart from each other. */
const spreadPoints = fc
  .array(anyPoint, { minLength: 2, maxLength: 8 })
  .filter((points) => points.every((p, i) => points.slice(0, i).every((q) => distance(p, q) > 1)));

/** The corners and the middle of a square, each moved by less than a quarter of its side. */
const anyFace = fc
  .array(fc.tuple(number(-0.12, 0.12), number(-0.12, 0.12)), { minLength: 5, maxLength: 5 })
  .map((shifts) => {
    const places = [
      [0, 0],
      [1, 0],
      [0.5, 0.5],
      [0, 1],
      [1, 1],
    ];
    return shifts.map(([x, y], i): Point => ({ x: 50 * (places[i][0] + x), y: 50 * (places[i][1] + y) }));
  });

const anyBox: fc.Arbitrary<Box> = fc.record({
  x: number(-50, 200),
  y: number(-50, 200),
  width: number(0.5, 120),
  height: number(0.5, 120),
});
const origin: Point = { x: 0, y: 0 };
const anyCandidates: fc.Arbitrary<Face[]> = fc.array(
  fc.record({
    box: anyBox,
    landmarks: fc.constant([origin, origin, origin, origin, origin] as const),
    score: fc.oneof(fc.constantFrom(0.5, 0.7), number(0, 1)),
  }),
  { maxLength: 40 },
);

function distance(p: Point, q: Point): number {
  return Math.hypot(p.x - q.x, p.y - q.y);
}

function overlap(p: Box, q: Box): number {
  const width = Math.min(p.x + p.width, q.x + q.width) - Math.max(p.x, q.x);
  const height = Math.min(p.y + p.height, q.y + q.height) - Math.max(p.y, q.y);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  return shared / (p.width * p.height + q.width * q.height - shared);
}

/** The least squares similarity, or where that shrinks all to a point, what takes them to the mean of the targets. */
function fitOrCollapse(from: readonly Point[], to: readonly Point[]): Similarity {
  try {
    return fitSimilarity(from, to);
  } catch (error) {
    expect(messageOf(error)).toMatch(/shrinks them to a single point/);
    const mean = (pick: (point: Point) => number): number =>
      to.reduce((sum, point) => sum + pick(point), 0) / to.length;
    return { a: 0, b: 0, tx: mean(({ x }) => x), ty: mean(({ y }) => y) };
  }
}

describe('similarities', () => {
  it('are found again from any points that they moved', () => {
    fc.assert(
      fc.property(anySimilarity, spreadPoints, (similarity, points) => {
        const moved = points.map((point) => apply(similarity, point));
        for (const fit of [fitSimilarity, fitSimilarityLeastMedian]) {
          const found = fit(points, moved);
          for (const [i, point] of points.entries()) {
            expect(distance(apply(found, point), moved[i])).toBeLessThan(1e-6);
          }
        }
      }),
    );
  });

  it('are taken back by their inverse, and composed as they are applied', () => {
    fc.assert(
      fc.property(anySimilarity, anySimilarity, anyPoint, (first, then, point) => {
        const once = apply(first, point);
        expect(distance(apply(invert(first), once), point)).toBeLessThan(1e-6);
        expect(distance(apply(compose(then, first), point), apply(then, once))).toBeLessThan(1e-6);
      }),
    );
  });

  it('fit no worse by least squares than any other similarity', () => {
    fc.assert(
      fc.property(
        spreadPoints,
        fc.array(anyPoint, { minLength: 8, maxLength: 8 }),
        anySimilarity,
        (from, all, other) => {
          const to = all.slice(0, from.length);
          fc.pre(to.some((point) => distance(point, to[0]) > 1));
          const error = (fit: Similarity): number =>
            from.reduce((sum, point, i) => sum + distance(apply(fit, point), to[i]) ** 2, 0);
          const best = fitOrCollapse(from, to);
          expect(error(best)).toBeLessThanOrEqual(error(other) + 1e-6);
          // Nor than one close by.
          const near = { ...best, a: best.a * 1.001 + 1e-3 * other.a, tx: best.tx + 0.1 };
          expect(error(best)).toBeLessThanOrEqual(error(near) * (1 + 1e-9) + 1e-6);
        },
      ),
    );
  });

  it('survive one wild landmark of five, and do not depend on the order', () => {
    fc.assert(
      fc.property(anySimilarity, anyFace, fc.nat(4), anyPoint, (similarity, face, wild, place) => {
        const to = face.map((point) => apply(similarity, point));
        const scale = Math.hypot(similarity.a, similarity.b);
        fc.pre(distance(place, to[wild]) > 10 * scale);
        const damaged = to.map((point, i) => (i === wild ? place : point));
        const found = fitSimilarityLeastMedian(face, damaged);
        for (const [i, point] of face.entries()) {
          expect(distance(apply(found, point), to[i])).toBeLessThan(1e-6 * Math.max(scale, 1));
        }
        const turned = fitSimilarityLeastMedian([...face].reverse(), [...damaged].reverse());
        expect(distance(apply(turned, face[wild]), apply(found, face[wild]))).toBeLessThan(1e-6);
      }),
    );
  });
});

describe('suppress', () => {
  const limit = fc.oneof(fc.constantFrom(0, 0.3, 1), number(0, 1));

  it('takes what greedy suppression over all pairs takes', () => {
    fc.assert(
      fc.property(anyCandidates, limit, fc.integer({ min: 1, max: 50 }), (faces, maxOverlap, maxFaces) => {
        const expected: Face[] = [];
        for (const face of [...faces].sort((p, q) => q.score - p.score)) {
          if (expected.length === maxFaces) break;
          if (expected.every(({ box }) => overlap(box, face.box) <= maxOverlap)) expected.push(face);
        }
        // Overlaps that equal the limit but for rounding may go either way.
        fc.pre(
          faces.every((p) =>
            faces.every((q) => p === q || Math.abs(overlap(p.box, q.box) - maxOverlap) > 1e-9),
          ) || maxOverlap === 0,
        );
        const taken = suppress(faces, maxOverlap, maxFaces);
        expect(taken).toEqual(expected);
        expect(suppress(taken, maxOverlap, maxFaces)).toEqual(taken);
      }),
      { numRuns: 500 },
    );
  });

  it('drops nothing where boxes may overlap entirely', () => {
    fc.assert(
      fc.property(anyCandidates, (faces) => {
        expect(suppress([...faces, ...faces], 1)).toHaveLength(2 * faces.length);
      }),
    );
  });
});

describe('warp', () => {
  const anyPicture = fc
    .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
    .chain(([width, height]) =>
      fc
        .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
        .map((data) => ({ data, width, height })),
    );

  it('shows the picture, moved by whole pixels, and black around it', () => {
    const shift = fc.integer({ min: -15, max: 15 });
    fc.assert(
      fc.property(anyPicture, shift, shift, (picture, tx, ty) => {
        const crop = warp(picture, { a: 1, b: 0, tx, ty }, 14);
        const expected = new Uint8Array(14 * 14 * 3);
        for (let v = 0; v < 14; v++) {
          for (let u = 0; u < 14; u++) {
            const [x, y] = [u - tx, v - ty];
            if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) continue;
            const at = 3 * (y * picture.width + x);
            expected.set(picture.data.subarray(at, at + 3), 3 * (14 * v + u));
          }
        }
        expect(crop).toEqual(expected);
      }),
    );
  });

  it('stays within the values of the picture and leaves it untouched, whatever the similarity', () => {
    fc.assert(
      fc.property(anyPicture, anySimilarity, fc.integer({ min: 1, max: 20 }), (picture, similarity, size) => {
        const before = picture.data.slice();
        const near = { ...similarity, tx: similarity.tx / 100, ty: similarity.ty / 100 };
        for (const toCrop of [similarity, near]) {
          const crop = warp(picture, toCrop, size);
          expect(crop).toHaveLength(size * size * 3);
          expect(Math.max(...crop)).toBeLessThanOrEqual(Math.max(...before));
        }
        expect(picture.data).toEqual(before);
      }),
    );
  });
});
