import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { minimalFiltering, type Rows } from '#ballast/runtime/onnx/minimal-filtering.js';

const times = (matrix: Rows, vector: readonly number[]): number[] =>
  matrix.map((row) => row.reduce((sum, value, at) => sum + value * vector[at], 0));

const numbers = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: length, maxLength: length });

describe('minimal filtering', () => {
  it.each([1, 2, 3, 4])('filters as the sum of products does, %i numbers at a time', (outputs) => {
    const { filter, input, output, positions } = minimalFiltering(outputs);
    fc.assert(
      fc.property(numbers(3), numbers(outputs + 2), (taps, signal) => {
        const [ofTaps, ofSignal] = [times(filter, taps), times(input, signal)];
        const products = ofTaps.map((value, at) => value * ofSignal[at]);
        expect(products).toHaveLength(positions);
        times(output, products).forEach((value, at) => {
          const expected = taps.reduce((sum, tap, offset) => sum + tap * signal[at + offset], 0);
          expect(value).toBeCloseTo(expected, 9);
        });
      }),
    );
  });

  it('needs a multiplication for each number that it reads', () => {
    for (const outputs of [1, 2, 3, 4]) {
      const { positions, filter, input, output } = minimalFiltering(outputs);
      expect(positions).toBe(outputs + 2);
      expect([filter.length, input.length, output.length]).toEqual([positions, positions, outputs]);
    }
  });
});
