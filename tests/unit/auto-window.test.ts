import { describe, expect, it } from 'vitest';
import { Agreement } from '#ballast/adapt/agreement.js';
import { planWindows } from '#ballast/adapt/auto-window.js';
import { divideTraffic, newestRun } from '#ballast/adapt/traffic.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

const CLASSES = 10;

/** What a model of this accuracy says of samples of these classes: 0.8 for one class, right or not. */
function answers(classes: readonly number[], accuracy: number, random: SeededRandom, cols = CLASSES): Matrix {
  const data = new Float32Array(classes.length * cols).fill(0.2 / (cols - 1));
  classes.forEach((right, row) => {
    const said = random.uniform() < accuracy ? right : Math.floor(random.uniform() * cols);
    data[row * cols + said] = 0.8;
  });
  return { data, rows: classes.length, cols };
}

function shuffled(count: number, random: SeededRandom): number[] {
  return Array.from({ length: count }, () => Math.floor(random.uniform() * CLASSES));
}

function runs(count: number, length: number): number[] {
  return Array.from({ length: count }, (_, row) => (3 * Math.floor(row / length)) % CLASSES);
}

describe('long-run shares', () => {
  it('are the mean of the probabilities, with half a sample of each class added', async () => {
    const { shares } = await Agreement.of({
      data: Float32Array.of(0.75, 0.25, 0, 0, 0, 0.25, 0.5, 0.25),
      rows: 2,
      cols: 4,
    });
    [1.25, 1, 1, 0.75].forEach((count, k) => {
      expect(shares[k]).toBeCloseTo(count / 4, 12);
    });
  });

  it('are drawn towards equal ones where one class is alone, until it has twice its share', async () => {
    const { shares } = await Agreement.of(answers(new Array<number>(500).fill(4), 1, new SeededRandom(1)));
    expect(shares[4]).toBeCloseTo(0.2, 12);
    expect(shares.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    expect(Math.min(...shares)).toBeGreaterThan(0.07);
  });
});

describe('Agreement', () => {
  it('has a mean ratio of 1 over shuffled samples, also where the model prefers a class', async () => {
    const random = new SeededRandom(7);
    const classes = Array.from({ length: 4000 }, () =>
      random.uniform() < 0.2 ? 2 : Math.floor(random.uniform() * CLASSES),
    );
    const agreement = await Agreement.of(answers(classes, 0.9, random));
    const ratios = new Float64Array(2);
    let sum = 0;
    for (let row = 1; row < agreement.rows; row++) {
      agreement.writeRatios(row, row - 1, ratios);
      expect(ratios[1]).toBe(1);
      sum += ratios[0];
    }
    expect(sum / 3999).toBeCloseTo(1, 1);
  });

  it('compares the most probable classes where there are many, and never more than all of them do', async () => {
    const random = new SeededRandom(3);
    const cols = 40;
    const data = Float32Array.from({ length: 2 * cols }, () => random.uniform() / 20);
    const { shares } = await Agreement.of({ data, rows: 2, cols });
    const top = (row: number): number[] =>
      Array.from({ length: cols }, (_, col) => col)
        .sort((a, b) => data[row * cols + b] - data[row * cols + a])
        .slice(0, 16);
    const both = top(0).filter((col) => top(1).includes(col));
    const expected = both.reduce((sum, col) => sum + (data[col] * data[cols + col]) / shares[col], 0);
    const ratios = new Float64Array(2);
    (await Agreement.of({ data, rows: 2, cols })).writeRatios(1, 0, ratios);
    expect(ratios[0]).toBeCloseTo((expected + 1) / 2, 10);
  });
});

describe('divideTraffic', () => {
  it('finds the runs of an accurate model where they are', async () => {
    const matrix = answers(runs(80, 16), 1, new SeededRandom(1));
    expect(await divideTraffic(await Agreement.of(matrix))).toEqual(
      [0, 16, 32, 48, 64].map((begin) => ({ begin, end: begin + 16, run: true })),
    );
  });

  it('finds the change from shuffled samples to a run, and back', async () => {
    const random = new SeededRandom(2);
    const classes = [...shuffled(60, random), ...new Array<number>(60).fill(6), ...shuffled(60, random)];
    const found = await divideTraffic(await Agreement.of(answers(classes, 0.8, random)));
    const [first, ...others] = found.filter(({ run, begin, end }) => run && end - begin > 8);
    expect(others).toEqual([]);
    expect(Math.abs(first.begin - 60)).toBeLessThanOrEqual(3);
    expect(Math.abs(first.end - 120)).toBeLessThanOrEqual(3);
    expect(found.map(({ begin }) => begin)).toEqual([0, ...found.slice(0, -1).map(({ end }) => end)]);
    expect(found.at(-1)!.end).toBe(180);
  });

  it('looks back over more samples than a run may have', async () => {
    const found = await divideTraffic(
      await Agreement.of(answers(new Array<number>(700).fill(1), 0.9, new SeededRandom(5))),
    );
    expect(found.every(({ run, begin, end }) => run && end - begin <= 256)).toBe(true);
  });
});

describe('planWindows', () => {
  it('leaves shuffled samples alone, in requests', async () => {
    let adapted = 0;
    for (let seed = 0; seed < 150; seed++) {
      const random = new SeededRandom(seed, 1);
      const { windows } = await planWindows(answers(shuffled(64, random), 0.9, random), { k: 5 });
      adapted += windows.reduce((sum, { from, end }) => sum + end - from, 0);
    }
    expect(adapted / (150 * 64)).toBeLessThan(0.01);
  });

  it('leaves shuffled samples alone, in streams', async () => {
    let adapted = 0;
    for (let seed = 0; seed < 200; seed++) {
      const random = new SeededRandom(seed, 2);
      const matrix = answers(shuffled(64, random), 0.9, random);
      const { decision, window, windows } = await planWindows(matrix, { own: 1, k: 5 });
      if (decision === 'shuffled') expect([window, windows]).toEqual([1, []]);
      else adapted++;
    }
    expect(adapted / 200).toBeLessThan(0.04);
  });

  it('leaves shuffled samples alone that a model takes for few classes', async () => {
    let adapted = 0;
    for (let seed = 0; seed < 100; seed++) {
      const random = new SeededRandom(seed, 3);
      const said = shuffled(128, random).map((right) => (random.uniform() < 0.2 ? 0 : right));
      adapted += (await planWindows(answers(said, 1, random), { k: 5 })).windows.length;
    }
    expect(adapted).toBeLessThan(20);
  });

  it.each([10, 40, 200])('adapts runs of %i within the run, in windows of k + 1', async (length) => {
    const random = new SeededRandom(length);
    const { windows, window, decision } = await planWindows(answers(runs(400, length), 0.85, random), {
      k: 5,
    });
    let covered = 0;
    for (const { begin, from, end } of windows) {
      expect(begin).toBeLessThanOrEqual(from);
      expect(end - begin).toBeLessThanOrEqual(6);
      covered += end - from;
    }
    expect(covered / 400).toBeGreaterThan(0.9);
    expect(['runs', 'some-runs']).toContain(decision);
    expect(window).toBeGreaterThan(5);
    const crossing = windows.filter(
      ({ begin, end }) => Math.floor((begin + 2) / length) < Math.floor((end - 3) / length),
    );
    expect(crossing.length).toBeLessThan(windows.length / 20);
  });

  it('adapts the newest of a stream with the last of its run, once it knows the run', async () => {
    const random = new SeededRandom(11);
    const matrix = answers([...shuffled(100, random), 4, 4, 4, 4, 4, 4, 4, 4, 4, 4], 1, random);
    const plan = await planWindows(matrix, { own: 1, k: 5 });
    expect(plan).toEqual({ windows: [{ begin: 104, from: 109, end: 110 }], decision: 'runs', window: 6 });
    const later = answers([...new Array<number>(40).fill(4), 7, 7, 7], 1, random);
    const { windows } = await planWindows(later, { own: 1, k: 5 });
    expect(windows).toEqual([{ begin: 40, from: 42, end: 43 }]);
  });

  it('fills up a short request with what came before it in the stream', async () => {
    const random = new SeededRandom(12);
    const matrix = answers([...shuffled(50, random), ...new Array<number>(20).fill(4)], 1, random);
    const { windows } = await planWindows(matrix, { own: 3, k: 5 });
    expect(windows).toEqual([{ begin: 64, from: 67, end: 70 }]);
  });

  it('follows a stream from shuffled samples to runs and back within 64', async () => {
    const seeds = 8;
    const adapted = { before: 0, inRuns: 0, after: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const random = new SeededRandom(seed, 4);
      const classes = [...shuffled(256, random), ...runs(256, 40), ...shuffled(192, random)];
      const matrix = answers(classes, 0.8, random);
      const share = async (begin: number, end: number): Promise<number> => {
        let count = 0;
        for (let row = begin; row < end; row += 4) {
          const from = Math.max(0, row - 255);
          const data = matrix.data.subarray(from * CLASSES, (row + 1) * CLASSES);
          const past = { data, rows: row + 1 - from, cols: CLASSES };
          if ((await planWindows(past, { own: 1, k: 5 })).windows.length > 0) count++;
        }
        return (4 * count) / (end - begin) / seeds;
      };
      adapted.before += await share(192, 256);
      adapted.inRuns += await share(320, 448);
      adapted.after += await share(576, 704);
    }
    expect(adapted.before).toBeLessThan(0.05);
    expect(adapted.inRuns).toBeGreaterThan(0.8);
    expect(adapted.after).toBeLessThan(0.1);
  });

  it('has nothing to compare one sample with', async () => {
    const matrix = answers([1], 1, new SeededRandom(1));
    expect(await planWindows(matrix, { k: 5 })).toEqual({ windows: [], decision: 'alone', window: 1 });
    expect(await newestRun(await Agreement.of(matrix), 0.9)).toBe(0);
  });

  it.each([
    [{ own: 0, k: 5 }, /own is 0; .* from 1 to 3/],
    [{ own: 4, k: 5 }, /own is 4/],
    [{ k: 1.5 }, /k is 1.5/],
  ])('refuses %j', async (options, sentence) => {
    await expect(planWindows(answers([1, 2, 3], 1, new SeededRandom(1)), options)).rejects.toThrow(sentence);
  });
});
