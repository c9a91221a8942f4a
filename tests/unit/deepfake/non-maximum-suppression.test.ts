import { describe, expect, it } from 'vitest';
import type { Face } from '#ballast/deepfake/face.js';
import { suppress } from '#ballast/deepfake/non-maximum-suppression.js';

const point = { x: 0, y: 0 };

function face(x: number, y: number, width: number, height: number, score: number): Face {
  return { box: { x, y, width, height }, landmarks: [point, point, point, point, point], score };
}

describe('suppress', () => {
  it('keeps the best of those that overlap, by falling score', () => {
    const [weak, best, apart] = [face(2, 1, 10, 10, 0.6), face(0, 0, 10, 10, 0.9), face(40, 0, 8, 8, 0.7)];
    expect(suppress([weak, best, apart])).toEqual([best, apart]);
  });

  it('measures intersection over union', () => {
    // 5·10 of 15·10 is a third.
    const pair = [face(0, 0, 10, 10, 0.9), face(5, 0, 10, 10, 0.8)];
    expect(suppress(pair, 0.33)).toEqual(pair.slice(0, 1));
    expect(suppress(pair, 0.34)).toEqual(pair);
    const inside = [face(0, 0, 10, 10, 0.9), face(4, 4, 2, 2, 0.8)];
    expect(suppress(inside, 0.05)).toEqual(inside);
    expect(suppress(inside, 0.03)).toEqual(inside.slice(0, 1));
  });

  it('lets boxes touch, and lets a dropped face drop no other', () => {
    const touching = [face(0, 0, 10, 10, 0.9), face(10, 0, 10, 10, 0.8), face(0, 10, 10, 10, 0.7)];
    expect(suppress(touching, 0)).toEqual(touching);
    const chain = [face(0, 0, 10, 10, 0.9), face(5, 0, 10, 10, 0.8), face(10, 0, 10, 10, 0.7)];
    expect(suppress(chain, 0.2)).toEqual([chain[0], chain[2]]);
  });

  it('keeps the order of equal scores, and as many as are wanted', () => {
    const equal = [face(0, 0, 5, 5, 0.5), face(20, 0, 5, 5, 0.5), face(40, 0, 5, 5, 0.5)];
    expect(suppress(equal)).toEqual(equal);
    expect(suppress(equal, 0.3, 2)).toEqual(equal.slice(0, 2));
    expect(suppress([])).toEqual([]);
    expect(suppress([equal[0]], 0.3, 9)).toEqual([equal[0]]);
  });

  it('refuses options out of range', () => {
    expect(() => suppress([], -0.1)).toThrow('maxOverlap is -0.1; it must be from 0 to 1.');
    expect(() => suppress([], NaN)).toThrow('maxOverlap is NaN');
    expect(() => suppress([], 0.3, 0)).toThrow('maxFaces is 0; it must be at least 1.');
  });
});
