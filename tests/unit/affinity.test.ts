import { describe, expect, it } from 'vitest';
import { buildAffinity, type AffinityMatrix, type AffinityOptions } from '#ballast/adapt/affinity.js';
import { measureRows, type FeatureRows, type Float, type Precision } from '#ballast/adapt/feature-rows.js';
import type { Matrix } from '#ballast/runtime/tensor.js';
import { wideSet } from './lame-golden.js';

const precisions: Precision[] = ['float64', 'float32'];

function matrix(rows: number[][]): Matrix {
  return { data: Float32Array.from(rows.flat()), rows: rows.length, cols: rows[0].length };
}

/** A point on the unit circle. */
function at(degrees: number): number[] {
  return [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
}

/** The Gram matrix, with errors of the size of float32 rounding that differ from cell to cell. */
function gramOf({ data, rows, cols }: FeatureRows, error = 0) {
  return (start: number, count: number): Promise<Float64Array> =>
    Promise.resolve(
      Float64Array.from({ length: count * rows }, (_, cell) => {
        const [i, j] = [start + Math.floor(cell / rows), cell % rows];
        let product = error === 0 ? 0 : error * Math.sin(7 * i + 13 * j);
        for (let col = 0; col < cols; col++) product += data[i * cols + col] * data[j * cols + col];
        return product;
      }),
    );
}

async function affinityOf(
  features: Matrix,
  options: Partial<AffinityOptions>,
  { error = 0, form }: { error?: number; form?: AffinityMatrix['form'] } = {},
): Promise<AffinityMatrix> {
  const measured = measureRows(features, 'float64');
  return buildAffinity(
    measured,
    gramOf(measured, error),
    { affinity: 'knn', k: 5, symmetrize: false, ...options },
    form,
  );
}

function denseOf(affinity: AffinityMatrix): Float {
  if (affinity.form === 'neighbours') throw new Error('wanted a dense affinity');
  if (affinity.form === 'dense') return affinity.weights;
  const { closeness, sigma } = affinity;
  return closeness.map((close: number) => Math.exp((close - 1) / sigma ** 2));
}

async function weightsOf(
  features: Matrix,
  options: Partial<AffinityOptions>,
  error?: number,
): Promise<number[][]> {
  const weights = denseOf(await affinityOf(features, options, { error: error ?? 0, form: 'dense' }));
  const { rows } = features;
  return Array.from({ length: rows }, (_, i) => [...weights.subarray(i * rows, (i + 1) * rows)]);
}

describe('kNN', () => {
  const fan = matrix([at(0), at(10), at(25), at(45)]);

  it('links each sample to its nearest neighbours, in order of distance', async () => {
    const affinity = await affinityOf(fan, { k: 2 }, { form: 'neighbours' });
    expect(affinity).toEqual({ form: 'neighbours', k: 2, indices: Int32Array.of(1, 0, 1, 2, 2, 2, 3, 1) });
  });

  it('is the same as a matrix of zeros and ones', async () => {
    expect(await weightsOf(fan, { k: 2 })).toEqual([
      [0, 1, 1, 0],
      [1, 0, 1, 0],
      [0, 1, 0, 1],
      [0, 1, 1, 0],
    ]);
  });

  it('symmetrises links that go one way to a half', async () => {
    expect(await weightsOf(fan, { k: 2, symmetrize: true })).toEqual([
      [0, 1, 0.5, 0],
      [1, 0, 1, 0.5],
      [0.5, 1, 0, 1],
      [0, 0.5, 1, 0],
    ]);
  });

  it('takes all others where there are no more than k', async () => {
    for (const k of [3, 4, 1e9]) {
      const weights = await weightsOf(fan, { k });
      expect(weights.map((row, i) => row.every((weight, j) => weight === (i === j ? 0 : 1)))).not.toContain(
        false,
      );
    }
  });

  it('leaves a sample alone without a neighbour', async () => {
    expect(await weightsOf(matrix([at(0)]), {})).toEqual([[0]]);
  });

  it('takes the form that is quicker: neighbours once there are enough samples to each', async () => {
    const wheel = (rows: number): Matrix =>
      matrix(Array.from({ length: rows }, (_, i) => at((i * 360) / rows)));
    expect((await affinityOf(wheel(20), { k: 2 })).form).toBe('dense');
    expect((await affinityOf(wheel(100), { k: 2 })).form).toBe('neighbours');
    expect((await affinityOf(wheel(100), { k: 2, symmetrize: true })).form).toBe('dense');
  });

  it.each([0, 1e-7])(
    'ties duplicates exactly and takes the lower index (rounding error %d)',
    async (error) => {
      const rows = matrix([at(30), at(0), at(30), at(0), at(30)]);
      const weights = await weightsOf(rows, { k: 1 }, error);
      expect(weights.map((row) => row.indexOf(1))).toEqual([2, 3, 0, 1, 0]);
      const two = await weightsOf(rows, { k: 3 }, error);
      // The third neighbour is one of two copies at the same distance: the one that comes first.
      expect(two[0]).toEqual([0, 1, 1, 0, 1]);
      expect(two[1]).toEqual([1, 0, 1, 1, 0]);
    },
  );

  it.each([0, 1e-7])(
    'sees a row of zeros at distance 1 from all others (rounding error %d)',
    async (error) => {
      const weights = await weightsOf(matrix([at(0), at(50), [0, 0], at(130), [0, 0]]), { k: 2 }, error);
      expect(weights).toEqual([
        [0, 1, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [1, 0, 1, 0, 0],
      ]);
    },
  );

  it('goes through a large Gram matrix in blocks', async () => {
    const rows = 5000;
    const measured = measureRows(
      matrix(Array.from({ length: rows }, (_, i) => at((i * 90) / rows))),
      'float64',
    );
    const asked: number[][] = [];
    const gram = gramOf(measured);
    const affinity = await buildAffinity(
      measured,
      (start, count) => {
        asked.push([start, count]);
        return gram(start, count);
      },
      { affinity: 'knn', k: 1, symmetrize: false },
    );
    expect(asked).toEqual([
      [0, 3355],
      [3355, 1645],
    ]);
    if (affinity.form !== 'neighbours') throw new Error('wanted neighbours');
    expect(affinity.indices.every((j, i) => Math.abs(i - j) === 1)).toBe(true);
  });

  it('finds the neighbours of the golden set among ties, the sample itself left out by its index', async () => {
    const tied = wideSet().filter(({ kernels, illPosed }) => kernels.length > 0 && !illPosed);
    expect(tied).toHaveLength(26);
    for (const { features, options, kernels } of tied) {
      const weights = await weightsOf(features, { ...options, symmetrize: false }, 1e-8);
      expect(weights.flat()).toEqual(kernels[1].kernel);
    }
  });
});

describe('rbf', () => {
  it('takes the mean distance to the k-th nearest as its width, the sample counted as the first', async () => {
    const weights = await weightsOf(matrix([at(0), at(60), at(180)]), { affinity: 'rbf', k: 2 });
    // Chords of 60°, 120° and 180° are 1, √3 and 2; the nearest others lie at 1, 1 and √3.
    const sigma = (1 + 1 + Math.sqrt(3)) / 3;
    const gauss = (squared: number): number => Math.exp(-squared / (2 * sigma * sigma));
    const expected = [
      [1, gauss(1), gauss(4)],
      [gauss(1), 1, gauss(3)],
      [gauss(4), gauss(3), 1],
    ];
    weights.flat().forEach((weight, cell) => {
      expect(weight).toBeCloseTo(expected.flat()[cell], 6);
    });
  });

  it('takes the farthest where there are fewer than k samples', async () => {
    const pair = matrix([at(0), at(60)]);
    expect(await weightsOf(pair, { affinity: 'rbf', k: 9 })).toEqual(
      await weightsOf(pair, { affinity: 'rbf', k: 2 }),
    );
  });

  it.each([
    [
      'all features are equal',
      [at(20), at(20)],
      5,
      [
        [1, 1],
        [1, 1],
      ],
    ],
    [
      'k is 1',
      [at(20), at(80)],
      1,
      [
        [1, 0],
        [0, 1],
      ],
    ],
    [
      'k is 1, and some are equal',
      [at(20), at(80), at(20)],
      1,
      [
        [1, 0, 1],
        [0, 1, 0],
        [1, 0, 1],
      ],
    ],
    ['a sample is alone', [at(20)], 5, [[0]]],
  ])('has no width of 0 to divide by where %s', async (_, rows, k, expected) => {
    expect(await weightsOf(matrix(rows), { affinity: 'rbf', k }, 1e-7)).toEqual(expected);
  });
});

describe('scale', () => {
  it('makes no difference: rows of one direction are equal', async () => {
    const weights = await weightsOf(
      matrix([
        [1, 2],
        [3, 6],
        [-1, 0],
        [7, 14],
      ]),
      { affinity: 'rbf', k: 1 },
    );
    expect(weights.map((row) => row.join(' '))).toEqual(['1 1 0 1', '1 1 0 1', '0 0 1 0', '1 1 0 1']);
  });
});

describe('linear', () => {
  it('is the cosine, the diagonal included', async () => {
    const weights = await weightsOf(
      matrix([
        [3, 4],
        [4, 3],
        [0, 0],
      ]),
      { affinity: 'linear' },
    );
    [1, 0.96, 0, 0.96, 1, 0, 0, 0, 0].forEach((expected, cell) => {
      expect(weights.flat()[cell]).toBeCloseTo(expected, 12);
    });
  });
});

describe.each(precisions)('rows measured in %s', (precision) => {
  it('have length 1 when scaled, whatever their scale, and zero rows stay zero', () => {
    const scales = [1e-44, 1e-38, 1e-20, 1e-9, 1, 1e9, 1e20, 1e38];
    const measured = measureRows(matrix([...scales.map((s) => [0.6 * s, -0.8 * s]), [0, -0]]), precision);
    scales.forEach((scale, row) => {
      const unit = Array.from(
        measured.data.slice(2 * row, 2 * row + 2),
        (value) => value * measured.scales[row],
      );
      // The smallest are denormal, of a few bits.
      const digits = scale < 1e-40 ? 1 : 6;
      expect(unit[0]).toBeCloseTo(0.6, digits);
      expect(unit[1]).toBeCloseTo(-0.8, digits);
      expect(Math.hypot(...unit)).toBeCloseTo(1, 6);
    });
    expect(measured.scales[scales.length]).toBe(0);
    expect(measured.zero).toBe(scales.length);
  });

  it('have products that neither overflow nor vanish', () => {
    const { data, cols } = measureRows(
      matrix([
        [1e38, 1e38],
        [1e-40, 1e-40],
        [1e9, 0],
        [1e-9, 0],
      ]),
      precision,
    );
    for (let a = 0; a < data.length; a += cols) {
      for (let b = 0; b < data.length; b += cols) {
        const product = Math.fround(data[a] * data[b]);
        expect(product).toBeGreaterThan(2 ** -100);
        expect(product).toBeLessThan(2 ** 100);
      }
    }
  });

  it('know which rows are equal, and are not fooled by rows whose entries are the same in another order', () => {
    const rows = [
      [1, 2],
      [2, 1],
      [1, 2],
      [0, 0],
      [2, 4],
      [0, 0],
    ];
    const { firstEqual, copies, zero } = measureRows(matrix(rows), precision);
    expect([...firstEqual]).toEqual([0, 1, 0, 3, 4, 3]);
    expect(copies).toEqual([2, 5]);
    expect(zero).toBe(3);
    expect(
      measureRows(
        matrix([
          [1e30, 1],
          [1e30, 1],
        ]),
        precision,
      ).copies,
    ).toEqual([1]);
  });

  it('name the row that is not finite', () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      expect(() =>
        measureRows(
          matrix([
            [1, 2],
            [value, 3],
          ]),
          precision,
        ),
      ).toThrow(/Row 1 of the features/);
    }
  });
});
