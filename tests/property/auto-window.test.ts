import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { AUTO_HISTORY, planWindows } from '#ballast/adapt/auto-window.js';
import { closeLame } from '#ballast/adapt/lame.js';
import { lameSchema } from '#ballast/pipeline/model-config.js';
import { Batch } from '#ballast/pipeline/pipeline.js';
import { AdaptStage } from '#ballast/pipeline/stages/adapt.js';
import { StreamStore } from '#ballast/pipeline/streams.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

afterAll(() => closeLame());

/** Rows of probabilities over a few classes; often the same row again, as in a run. */
const rowsOfProbabilities = fc
  .tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 1, max: 40 }))
  .chain(([cols, rows]) => {
    const row = fc
      .array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })), {
        minLength: cols,
        maxLength: cols,
      })
      .map((values) => {
        const sum = values.reduce((a, b) => a + b);
        return sum > 0 ? values.map((value) => value / sum) : values.map(() => 1 / cols);
      });
    const repeated = fc.tuple(row, fc.integer({ min: 1, max: 12 }));
    return fc
      .array(repeated, { minLength: 1, maxLength: rows })
      .map((parts) => parts.flatMap(([values, times]) => Array.from({ length: times }, () => values)));
  });

function matrixOf(rows: readonly (readonly number[])[]): Matrix {
  return { data: Float32Array.from(rows.flat()), rows: rows.length, cols: rows[0].length };
}

describe('planWindows', () => {
  it('gives windows in order that hold what they keep, and its own samples at most once', async () => {
    const sizes = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(rowsOfProbabilities, sizes, async (rows, [k, share]) => {
        const own = Math.max(1, Math.ceil(share * rows.length));
        const { windows, window } = await planWindows(matrixOf(rows), { own, k });
        let last = rows.length - own;
        for (const { begin, from, end } of windows) {
          expect(from).toBeGreaterThanOrEqual(last);
          expect(end).toBeGreaterThan(from);
          expect(begin).toBeGreaterThanOrEqual(0);
          expect(begin).toBeLessThanOrEqual(from);
          expect(end - begin).toBeGreaterThanOrEqual(2);
          expect(end - begin).toBeLessThanOrEqual(k + 1);
          last = end;
        }
        expect(last).toBeLessThanOrEqual(rows.length);
        expect(window).toBeGreaterThanOrEqual(1);
        expect(window).toBeLessThanOrEqual(k + 1);
      }),
      { numRuns: 150 },
    );
  });

  it('does not depend on how the classes are numbered', async () => {
    await fc.assert(
      fc.asyncProperty(rowsOfProbabilities, async (rows) => {
        // Sums of other order may differ in the last digit, and with it the better of two equal divisions.
        const rounded = rows.map((row) => row.map((value) => Math.round(value * 64) / 64));
        const turned = rounded.map((row) => [...row.slice(1), row[0]]);
        const [plan, other] = [
          await planWindows(matrixOf(rounded), { k: 5 }),
          await planWindows(matrixOf(turned), { k: 5 }),
        ];
        expect(Math.abs(plan.window - other.window)).toBeLessThan(0.5);
        expect(other.decision === 'shuffled').toBe(plan.decision === 'shuffled');
      }),
      { numRuns: 100 },
    );
  });
});

describe('a stream with window: auto', () => {
  const config = lameSchema.parse({ window: 'auto', scope: 'stream' });

  /** Answers the samples one by one, as streams do. */
  async function answersOf(rows: readonly (readonly number[])[], stream = 'a'): Promise<number[][]> {
    const streams = new StreamStore({ maxStreams: 10, maxBytes: 1e8, maxIdleSeconds: 100 });
    const stage = new AdaptStage('m/1', config, streams);
    const answers: number[][] = [];
    for (const row of rows) {
      const one = matrixOf([row]);
      const begin = { features: one, base: one, probabilities: one };
      const batch = new Batch({ count: 1, options: { stream }, ...begin });
      await stage.run(batch);
      answers.push([...batch.probabilities!.data]);
      expect(streams.read(stream, 'm/1')!.features.rows).toBeLessThanOrEqual(AUTO_HISTORY);
    }
    return answers;
  }

  it('answers each sample by its past alone', async () => {
    await fc.assert(
      fc.asyncProperty(
        rowsOfProbabilities,
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (rows, share) => {
          const part = rows.slice(0, Math.max(1, Math.floor(share * rows.length)));
          expect((await answersOf(rows)).slice(0, part.length)).toEqual(await answersOf(part, 'b'));
        },
      ),
      { numRuns: 10 },
    );
  });

  it('forgets what is older than its history', async () => {
    const row = (best: number): number[] => [0, 1, 2].map((k) => (k === best ? 0.9 : 0.05));
    const recent = Array.from({ length: AUTO_HISTORY + 4 }, (_, i) => row(Math.floor(i / 7) % 3));
    const old = Array.from({ length: 20 }, () => row(1));
    const [short, long] = [await answersOf(recent), await answersOf([...old, ...recent])];
    expect(long.slice(-4)).toEqual(short.slice(-4));
  });
});
