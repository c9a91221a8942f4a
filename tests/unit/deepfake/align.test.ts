import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alignment, templateOf } from '#ballast/deepfake/align.js';
import type { Landmarks, Point } from '#ballast/deepfake/face.js';
import { apply, fitSimilarity, type Similarity } from '#ballast/deepfake/similarity.js';
import { warp } from '#ballast/deepfake/warp.js';
import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';

interface Golden {
  tolerance: { bytes: number; bytesOff: number; similarity: number };
  picture: { width: number; height: number; data: string };
  warps: {
    name: string;
    toCrop: [number, number, number, number];
    size: number;
    expected: string;
    lit: boolean;
    ties: number;
  }[];
  alignments: {
    landmarks: [number, number][];
    size: number;
    scale: number;
    wild: number | null;
    leastMedian: number[];
    leastSquares: number[];
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../golden/deepfake/alignment.json', import.meta.url), 'utf8'),
) as Golden;
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
const picture: RgbPicture = { ...golden.picture, data: bytes(golden.picture.data) };
const identity: Similarity = { a: 1, b: 0, tx: 0, ty: 0 };

function plain(width: number, height: number, value: number): RgbPicture {
  return { data: new Uint8Array(width * height * 3).fill(value), width, height };
}

function landmarksOf(points: readonly (readonly [number, number])[]): Landmarks {
  return points.map(([x, y]): Point => ({ x, y })) as unknown as Landmarks;
}

describe('templateOf', () => {
  it('is the template itself at 112 pixels without a margin', () => {
    expect(templateOf({ size: 112, scale: 1 })[0]).toEqual({ x: 38.2946, y: 51.6963 });
  });

  it('draws the face together about the centre as the scale grows', () => {
    const [near, far] = [templateOf({ size: 224, scale: 1 }), templateOf({ size: 224, scale: 1.3 })];
    far.forEach(({ x, y }, i) => {
      expect(x).toBeCloseTo(112 + (near[i].x - 112) / 1.3, 9);
      expect(y).toBeCloseTo(112 + (near[i].y - 112) / 1.3, 9);
    });
    expect(templateOf({ size: 224 })).toEqual(far);
  });
});

describe('alignment', () => {
  it.each(golden.alignments)('is that of the reference: size $size, wild $wild', (one) => {
    const landmarks = landmarksOf(one.landmarks);
    const robust = alignment(landmarks, one);
    const least = fitSimilarity(landmarks, templateOf(one));
    const off = [
      ...[robust.a, robust.b, robust.tx, robust.ty].map((value, i) => [value, one.leastMedian[i]]),
      ...[least.a, least.b, least.tx, least.ty].map((value, i) => [value, one.leastSquares[i]]),
    ].map(([found, expected]) => Math.abs(found - expected) / Math.max(1, Math.abs(expected)));
    expect(Math.max(...off)).toBeLessThan(golden.tolerance.similarity);
  });

  it('puts the other four where they belong when one landmark is wild', () => {
    const upright = templateOf({ size: 224 });
    const away = upright.map(({ x, y }) => ({ x: 3 * x + 100, y: 3 * y + 40 }));
    for (let wild = 0; wild < 5; wild++) {
      const landmarks = away.map((point, i): [number, number] =>
        i === wild ? [0, 999] : [point.x, point.y],
      );
      const toCrop = alignment(landmarksOf(landmarks), { size: 224 });
      away.forEach((point, i) => {
        const { x, y } = apply(toCrop, point);
        expect(Math.hypot(x - upright[i].x, y - upright[i].y)).toBeLessThan(1e-9);
      });
    }
  });

  it.each([
    [{ size: 0 }, 'The size of a crop is 0'],
    [{ size: 10.5 }, 'The size of a crop is 10.5'],
    [{ size: 224, scale: 0 }, 'The scale of a crop is 0'],
    [{ size: 224, scale: NaN }, 'The scale of a crop is NaN'],
  ])('refuses %j', (options, message) => {
    expect(() => alignment(templateOf({ size: 112 }), options)).toThrow(message);
  });
});

describe('warp', () => {
  it.each(golden.warps)('gives the crop of the reference: $name', ({ toCrop, size, expected, lit, ties }) => {
    const [a, b, tx, ty] = toCrop;
    const crop = warp(picture, { a, b, tx, ty }, size);
    const reference = bytes(expected);
    expect(crop.length).toBe(reference.length);
    expect(crop.some((value) => value > 0)).toBe(lit);
    const off = [...crop].map((value, i) => Math.abs(value - reference[i]));
    expect(Math.max(...off)).toBeLessThanOrEqual(golden.tolerance.bytes);
    expect(off.filter((distance) => distance > 0).length).toBeLessThanOrEqual(
      ties + golden.tolerance.bytesOff * crop.length,
    );
  });

  it('returns the picture under the identity', () => {
    const square = { ...picture, data: picture.data.slice(0, 37 * 37 * 3), width: 37, height: 37 };
    expect(warp(square, identity, 37)).toEqual(square.data);
  });

  it('is black outside, and fades over one pixel at the edge', () => {
    const crop = warp(plain(2, 2, 200), { ...identity, tx: 1.5, ty: 1 }, 5);
    const row = (y: number): number[] => [0, 1, 2, 3, 4].map((x) => crop[3 * (5 * y + x)]);
    expect(row(0)).toEqual([0, 0, 0, 0, 0]);
    expect(row(1)).toEqual([0, 100, 200, 100, 0]);
    expect(row(3)).toEqual([0, 0, 0, 0, 0]);
  });

  it('averages what it shrinks: a fine chequerboard becomes grey', () => {
    const board = plain(96, 96, 0);
    for (let i = 0; i < board.data.length; i++) {
      const pixel = Math.floor(i / 3);
      board.data[i] = ((pixel % 96) + Math.floor(pixel / 96)) % 2 === 0 ? 254 : 0;
    }
    for (const factor of [2, 4, 6]) {
      const size = 96 / factor;
      const shift = -(factor - 1) / 2 / factor;
      const crop = warp(board, { a: 1 / factor, b: 0, tx: shift, ty: shift }, size);
      expect([...new Set(crop)]).toEqual([127]);
    }
  });

  it('keeps the picture in place when it averages', () => {
    // A ramp whose value is its column: a crop that shrinks by 3 about (60, 60) shows 60 in its middle.
    const ramp = plain(121, 121, 0);
    ramp.data.forEach((_, i) => (ramp.data[i] = Math.floor(i / 3) % 121));
    const crop = warp(ramp, { a: 1 / 3, b: 0, tx: 10 - 20, ty: 10 - 20 }, 21);
    const middle = [0, 5, 10, 15, 20].map((x) => crop[3 * (21 * 10 + x)]);
    expect(middle).toEqual([30, 45, 60, 75, 90]);
  });

  it('refuses pictures and sizes that do not go together', () => {
    expect(() => warp({ ...picture, width: 49 }, identity, 8)).toThrow('5550 bytes for 49×37 pixels');
    expect(() => warp(plain(0, 0, 0), identity, 8)).toThrow('0 bytes for 0×0 pixels');
    expect(() => warp(picture, identity, 0)).toThrow('The size of a crop is 0');
    expect(() => warp(picture, { a: 0, b: 0, tx: 0, ty: 0 }, 8)).toThrow('has no inverse');
  });
});
