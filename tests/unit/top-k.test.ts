import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { topIndices } from '#ballast/server/top-k.js';

describe('topIndices', () => {
  it('is the beginning of a stable descending sort, whatever k', () => {
    const rows = fc.array(fc.constantFrom(0, 0.25, 0.5, 0.75, 1), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 100 }), fc.nat(5), (row, k, begin) => {
        const sorted = row.map((_, i) => i).toSorted((a, b) => row[b] - row[a] || a - b);
        const data = Float32Array.from([...Array<number>(begin).fill(9), ...row]);
        expect(topIndices(data, begin, row.length, k)).toEqual(sorted.slice(0, k));
      }),
    );
  });

  it('sorts NaN behind all numbers, whatever k', () => {
    const rows = fc.array(fc.constantFrom(NaN, -Infinity, 0, 0.5, 1), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 100 }), (row, k) => {
        const numbers = row.flatMap((value, i) => (Number.isNaN(value) ? [] : [i]));
        const others = row.flatMap((value, i) => (Number.isNaN(value) ? [i] : []));
        const sorted = numbers.toSorted((a, b) => row[b] - row[a] || a - b);
        expect(topIndices(row, 0, row.length, k)).toEqual([...sorted, ...others].slice(0, k));
      }),
    );
  });
});
