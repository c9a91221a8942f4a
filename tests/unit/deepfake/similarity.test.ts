import { describe, expect, it } from 'vitest';
import type { Point } from '#ballast/deepfake/face.js';
import {
  apply,
  compose,
  fitSimilarity,
  fitSimilarityLeastMedian,
  invert,
  type Similarity,
} from '#ballast/deepfake/similarity.js';

const quarterTurn: Similarity = { a: 0, b: 2, tx: 10, ty: -1 };
const square: readonly Point[] = [
  { x: 0, y: 0 },
  { x: 4, y: 0 },
  { x: 4, y: 4 },
  { x: 0, y: 4 },
];
const mirrored = square.map(({ x, y }) => ({ x: -x, y }));
const same = Array.from({ length: 4 }, () => ({ x: 7, y: 0.1 }));

describe('a similarity', () => {
  it('turns, scales and moves a point', () => {
    expect(apply(quarterTurn, { x: 3, y: 1 })).toEqual({ x: 8, y: 5 });
  });

  it('is taken back by its inverse, and composed from the right', () => {
    expect(apply(invert(quarterTurn), { x: 8, y: 5 })).toEqual({ x: 3, y: 1 });
    const move: Similarity = { a: 1, b: 0, tx: 5, ty: 0 };
    expect(apply(compose(quarterTurn, move), { x: 3, y: 1 })).toEqual({ x: 8, y: 15 });
    expect(apply(compose(move, quarterTurn), { x: 3, y: 1 })).toEqual({ x: 13, y: 5 });
  });

  it.each([
    { a: 0, b: 0, tx: 1, ty: 2 },
    { a: NaN, b: 0, tx: 1, ty: 2 },
    { a: 1, b: 0, tx: Infinity, ty: 2 },
    { a: 1e-200, b: 0, tx: 1, ty: 2 },
  ])('has no inverse where it is %j', (similarity) => {
    expect(() => invert(similarity)).toThrow(/has no inverse; .* scale/);
  });
});

describe.each([
  ['fitSimilarity', fitSimilarity],
  ['fitSimilarityLeastMedian', fitSimilarityLeastMedian],
])('%s', (_, fit) => {
  it('finds the similarity between points', () => {
    const found = fit(
      square,
      square.map((point) => apply(quarterTurn, point)),
    );
    for (const name of ['a', 'b', 'tx', 'ty'] as const)
      expect(found[name]).toBeCloseTo(quarterTurn[name], 12);
  });

  it('fits two points exactly', () => {
    const found = fit(square.slice(0, 2), [
      { x: 1, y: 1 },
      { x: 1, y: 9 },
    ]);
    expect(found).toEqual({ a: 0, b: 2, tx: 1, ty: 1 });
  });

  it.each([
    ['points that are all equal', same, square, 'All points of "from" are equal'],
    ['targets that are all equal', square, same, 'All points of "to" are equal'],
    ['counts that differ', square, square.slice(1), 'There are 4 points to take to 3'],
    ['a single point', square.slice(3), square.slice(3), 'at least 2'],
    [
      'a point that is not finite',
      [...square.slice(1), { x: NaN, y: 1 }],
      square,
      'Point 3 of "from" is (NaN, 1)',
    ],
  ])('refuses %s', (__, from, to, message) => {
    expect(() => fit(from, to)).toThrow(message);
    expect(() => fit(from, to)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });
});

describe('fitSimilarity', () => {
  it('spreads an error over the points, where least median leaves it out', () => {
    const five = [...square, { x: 2, y: 2 }];
    const wild = [...square, { x: 12, y: 2 }];
    expect(fitSimilarity(five, wild)).toEqual({ a: 1, b: 0, tx: 2, ty: 0 });
    expect(fitSimilarityLeastMedian(five, wild)).toEqual({ a: 1, b: 0, tx: 0, ty: 0 });
  });

  it('says that reflected points fit no similarity', () => {
    expect(() => fitSimilarity(square, mirrored)).toThrow(/They may be reflected/);
  });
});

describe('fitSimilarityLeastMedian', () => {
  it('passes over pairs of points that coincide in one of the sets', () => {
    const [p, q, r] = square;
    const moved = [p, p, q, r].map((point) => apply(quarterTurn, point));
    const found = fitSimilarityLeastMedian([p, p, q, r], moved);
    for (const name of ['a', 'b', 'tx', 'ty'] as const) {
      expect(found[name]).toBeCloseTo(quarterTurn[name], 12);
    }
  });
});
