import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { solveLame, type SolverChoices } from '#ballast/adapt/lame-solver.js';
import { closeLame, lame, type LameOptions } from '#ballast/adapt/lame.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

interface Samples {
  readonly probabilities: Matrix;
  readonly features: Matrix;
}

/** Finite float32 numbers of every size, zeros and denormals among them. */
const anyFinite = fc.float({ noNaN: true, noDefaultInfinity: true });
/** Probabilities as a saturated softmax may give them. */
const anyProbability = fc.oneof(
  fc.constantFrom(0, 1, 1e-45, 1e-38, 1e-10, 0.5),
  fc.float({ min: 0, max: 1, noNaN: true }),
);

const options: fc.Arbitrary<Required<Omit<LameOptions, 'providers'>>> = fc.record({
  affinity: fc.constantFrom('knn', 'rbf', 'linear'),
  k: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(1e6)),
  symmetrize: fc.boolean(),
  lambda: fc.oneof(fc.constantFrom(0, 1, 1e6), fc.double({ min: 0, max: 10, noNaN: true })),
  maxSteps: fc.integer({ min: 1, max: 100 }),
});

const choices: fc.Arbitrary<SolverChoices> = fc.record({
  precision: fc.constantFrom('float32', 'float64'),
  form: fc.constantFrom('dense', 'neighbours'),
  passes: fc.constantFrom('onnxruntime', 'kernel'),
});

function matrix(data: number[], rows: number): Matrix {
  return { data: Float32Array.from(data), rows, cols: data.length / rows };
}

function samplesOf(probability: fc.Arbitrary<number>, feature: fc.Arbitrary<number>): fc.Arbitrary<Samples> {
  const shape = fc.tuple(
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 5 }),
  );
  return shape.chain(([rows, classes, cols]) =>
    fc
      .tuple(
        fc.array(probability, { minLength: rows * classes, maxLength: rows * classes }),
        fc.array(feature, { minLength: rows * cols, maxLength: rows * cols }),
      )
      .map(([q, f]) => ({ probabilities: matrix(q, rows), features: matrix(f, rows) })),
  );
}

const anySamples = samplesOf(anyProbability, anyFinite);
/** Features of which many are equal, and many zero. */
const repeated = samplesOf(anyProbability, fc.constantFrom(0, 0, 1, -1));
/** Samples without ties: distances of pseudo-random points differ. */
const distinct = fc.tuple(fc.integer(), fc.integer({ min: 2, max: 40 })).map(([seed, rows]): Samples => {
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const classes = 4;
  const q = Array.from({ length: rows * classes }, () => 0.05 + next());
  const f = Array.from({ length: rows * 8 }, () => next() + next() - next() - next());
  return { probabilities: matrix(q, rows), features: matrix(f, rows) };
});

function rowsOf({ data, rows, cols }: Matrix): number[][] {
  return Array.from({ length: rows }, (_, row) => [...data.subarray(row * cols, (row + 1) * cols)]);
}

function renormalised(probabilities: Matrix): number[][] {
  return rowsOf(probabilities).map((row) => {
    const floored = row.map((value) => value + 1e-10);
    const sum = floored.reduce((a, b) => a + b);
    return floored.map((value) => value / sum);
  });
}

function expectRowsClose(actual: number[][], expected: number[][], tolerance: number): void {
  actual.forEach((row, i) => {
    row.forEach((value, j) => {
      expect(Math.abs(value - expected[i][j])).toBeLessThanOrEqual(tolerance);
    });
  });
}

/** The order of the rows after sorting them by a key each. */
function orderBy(keys: readonly number[], rows: number): number[] {
  return Array.from({ length: rows }, (_, row) => row).sort((a, b) => keys[a] - keys[b] || a - b);
}

function reordered({ data, rows, cols }: Matrix, order: readonly number[]): Matrix {
  return matrix(
    order.flatMap((row) => [...data.subarray(row * cols, (row + 1) * cols)]),
    rows,
  );
}

afterAll(closeLame);

describe('lame, whatever it is given,', () => {
  it.each([
    ['numbers of every size', anySamples],
    ['duplicates and zeros', repeated],
  ])('gives rows that are finite and sum to 1: %s', async (_, samples) => {
    await fc.assert(
      fc.asyncProperty(samples, options, choices, async ({ probabilities, features }, chosen, form) => {
        const problem = { probabilities, features, ...chosen, providers: ['cpu'] } as const;
        const { assignments, energy, iterations } = await solveLame(problem, form);
        for (const row of rowsOf({ ...probabilities, data: assignments })) {
          expect(row.every((value) => value >= 0 && value <= 1 + 1e-6)).toBe(true);
          expect(Math.abs(row.reduce((sum, value) => sum + value) - 1)).toBeLessThan(1e-5);
        }
        expect(Number.isFinite(energy)).toBe(true);
        expect(iterations).toBeGreaterThanOrEqual(1);
        expect(iterations).toBeLessThanOrEqual(chosen.maxSteps);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves the arrays of the caller untouched', async () => {
    await fc.assert(
      fc.asyncProperty(anySamples, options, async ({ probabilities, features }, chosen) => {
        const before = [probabilities.data.slice(), features.data.slice()];
        await lame(probabilities, features, chosen);
        expect([probabilities.data, features.data]).toEqual(before);
      }),
    );
  });

  it('gives the same answer again', async () => {
    await fc.assert(
      fc.asyncProperty(anySamples, options, async ({ probabilities, features }, chosen) => {
        const once = await lame(probabilities, features, chosen);
        expect(await lame(probabilities, features, chosen)).toEqual(once);
      }),
    );
  });

  it('gives the probabilities back, renormalised, without a pull', async () => {
    await fc.assert(
      fc.asyncProperty(anySamples, options, async ({ probabilities, features }, chosen) => {
        const { probabilities: adapted } = await lame(probabilities, features, { ...chosen, lambda: 0 });
        expectRowsClose(rowsOf(adapted), renormalised(probabilities), 1e-6);
      }),
    );
  });

  it("does not care about the scale of a sample's features", async () => {
    const scales = fc.array(fc.constantFrom(2 ** -40, 0.25, 1, 8, 2 ** 50), { minLength: 40, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(distinct, options, scales, async ({ probabilities, features }, chosen, factors) => {
        const scaled = rowsOf(features).flatMap((row, i) => row.map((value) => value * factors[i]));
        const once = await lame(probabilities, features, chosen);
        expect(await lame(probabilities, matrix(scaled, features.rows), chosen)).toEqual(once);
      }),
    );
  });

  it('follows a change of the order of the samples', async () => {
    const keys = fc.array(fc.integer(), { minLength: 40, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(distinct, options, keys, async ({ probabilities, features }, chosen, sortKeys) => {
        // A strong pull makes classes jump: a rounding error then decides which.
        const gentle = {
          ...chosen,
          lambda: Math.min(chosen.lambda, 1),
          maxSteps: Math.min(chosen.maxSteps, 10),
        };
        const order = orderBy(sortKeys, probabilities.rows);
        const straight = await lame(probabilities, features, gentle);
        const turned = await lame(reordered(probabilities, order), reordered(features, order), gentle);
        const expected = rowsOf(reordered(straight.probabilities, order));
        expectRowsClose(rowsOf(turned.probabilities), expected, 1e-3);
      }),
    );
  });

  it('pulls a duplicate towards the sample that it copies', async () => {
    await fc.assert(
      fc.asyncProperty(distinct, async ({ probabilities, features }) => {
        const { rows } = probabilities;
        const twins = {
          probabilities: matrix([...probabilities.data, 0.97, 0.01, 0.01, 0.01], rows + 1),
          features: matrix([...features.data, ...features.data.subarray(0, features.cols)], rows + 1),
        };
        const { probabilities: adapted } = await lame(twins.probabilities, twins.features, {
          k: 1,
          maxSteps: 1,
        });
        const [first, before] = [rowsOf(adapted)[0], renormalised(probabilities)[0]];
        expect(first[0]).toBeGreaterThan(before[0]);
      }),
    );
  });
});
