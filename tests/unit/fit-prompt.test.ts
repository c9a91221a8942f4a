import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planDecoder } from '#ballast/adapt/decoder-plan.js';
import {
  beats,
  fitPrompt,
  splitShots,
  type FitProgress,
  type FitPromptInput,
  type FitPromptOptions,
  type FitState,
  type Shots,
} from '#ballast/adapt/fit-prompt.js';
import type { Matrix, Tensor } from '#ballast/runtime/tensor.js';

/** Pictures of 8×8: the decoder has no block, and its parameters are a trigger and the last matrix. */
const plan = planDecoder(4, 8, 8, 1);
const SIZE = 64;

const tensor = (rows: number, size: number, data: Float32Array): Tensor => ({
  type: 'float32',
  dims: size === SIZE ? [rows, 1, 8, 8] : [rows, size],
  data,
});

/** A Coordinator that adds the first folded numbers to the pixels. */
const coordinator: FitPromptInput['coordinator'] = {
  plan,
  encode: (images) => Promise.resolve(tensor(images.dims[0], 4, new Float32Array(4 * images.dims[0]))),
  measure: () => Promise.resolve(new Float64Array(0)),
  prompt: (images, _codes, sets) => {
    const pixels = images.data as Float32Array;
    const all = new Float32Array(pixels.length * sets.length);
    sets.forEach((set, v) => {
      pixels.forEach((value, i) => {
        all[v * pixels.length + i] = value + set[(i % SIZE) % set.length];
      });
    });
    return Promise.resolve(tensor(images.dims[0] * sets.length, SIZE, all));
  },
};

/** A linear black box of two classes, which counts the pictures that it is asked about. */
class LinearBlackBox {
  asked = 0;
  readonly calls: number[] = [];

  constructor(private readonly beforeAnswer: (asked: number) => void = () => undefined) {}

  classify(images: Tensor, signal?: AbortSignal): Promise<Matrix> {
    signal?.throwIfAborted();
    const rows = images.dims[0];
    this.asked += rows;
    this.calls.push(rows);
    this.beforeAnswer(this.asked);
    const pixels = images.data as Float32Array;
    const data = new Float32Array(rows * 2);
    for (let i = 0; i < pixels.length; i++) {
      data[2 * Math.floor(i / SIZE) + (i % 2)] += pixels[i] / SIZE;
    }
    // It leans to one class, which a prompt can mend.
    for (let row = 0; row < rows; row++) data[2 * row] += 1;
    return Promise.resolve({ data, rows, cols: 2 });
  }
}

/** Pictures whose class is the half of the pixels that is brighter. */
function shotsOf(count: number): Shots {
  const data = Float32Array.from({ length: count * SIZE }, (_, i) => {
    const label = Math.floor(i / SIZE) % 2;
    return (i % 2 === label ? 0.5 : 0) + 0.1 * Math.sin(i);
  });
  return { images: tensor(count, SIZE, data), labels: Uint32Array.from({ length: count }, (_, i) => i % 2) };
}

const OPTIONS: FitPromptOptions = {
  ...{ seed: 3, queries: 2000, batchSize: 6, validation: 0.25, evaluateEvery: 4, samples: 2 },
  ...{ a: 0.05, c: 0.05 },
};

interface Run {
  readonly state: FitState;
  readonly asked: number;
  readonly checkpoints: FitState[];
  readonly progress: FitProgress[];
}

async function fit(
  options: Partial<FitPromptOptions> = {},
  more: Partial<FitPromptInput> = {},
  shots = shotsOf(24),
): Promise<Run> {
  const blackBox = new LinearBlackBox();
  const checkpoints: FitState[] = [];
  const progress: FitProgress[] = [];
  const state = await fitPrompt({
    coordinator,
    blackBox,
    shots,
    options: { ...OPTIONS, ...options },
    onCheckpoint: (one) => void checkpoints.push(structuredClone(one)),
    onProgress: (one) => void progress.push(one),
    ...more,
  });
  return { state, asked: blackBox.asked, checkpoints, progress };
}

describe('splitShots', () => {
  const labels = fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 2, maxLength: 6 }).chain((counts) => {
    const all = counts.flatMap((count, label) => Array<number>(count).fill(7 * label));
    return fc.shuffledSubarray(all, { minLength: all.length }).map((one) => Uint32Array.from(one));
  });
  const share = fc.double({ min: 0.01, max: 0.5, noNaN: true });

  it('has every class on both sides, and every picture on one', () => {
    fc.assert(
      fc.property(labels, share, fc.nat(), (all, part, seed) => {
        const { training, validation } = splitShots({ labels: all }, part, seed);
        const classes = (indices: Uint32Array): Set<number> => new Set([...indices].map((i) => all[i]));
        expect(classes(training)).toEqual(new Set(all));
        expect(classes(validation)).toEqual(new Set(all));
        expect([...training, ...validation].sort((a, b) => a - b)).toEqual([...all.keys()]);
      }),
    );
  });

  it('leaves a picture of every class to learn from, however great the share that judges', () => {
    const { training } = splitShots({ labels: Uint32Array.of(0, 0, 1, 1) }, 0.9, 0);
    expect(training).toHaveLength(2);
  });

  it('is the same for the same seed, and another for another', () => {
    const { labels: all } = shotsOf(40);
    const [one, same, other] = [5, 5, 6].map((seed) => splitShots({ labels: all }, 0.25, seed));
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('learns from a class that has one picture alone', () => {
    const { training, validation } = splitShots({ labels: Uint32Array.of(0, 0, 1, 1, 2) }, 0.25, 0);
    expect([...training]).toContain(4);
    expect(validation).toHaveLength(2);
  });

  it('refuses one class, and too few pictures, with what there must be', () => {
    expect(() => splitShots({ labels: new Uint32Array(9).fill(4) }, 0.25, 0)).toThrow(
      /^All 9 pictures are of one class; .* at least two apart\.$/,
    );
    for (const few of [Uint32Array.of(0, 1), Uint32Array.of(0, 1, 2), Uint32Array.of(0, 0, 1)]) {
      expect(() => splitShots({ labels: few }, 0.25, 0)).toThrow(
        /pictures are too few: at least two classes need two pictures each/,
      );
    }
  });
});

describe('fitPrompt', () => {
  it('counts its queries exactly, and never passes its budget', async () => {
    const sizes = fc.record({
      queries: fc.integer({ min: 60, max: 1500 }),
      batchSize: fc.integer({ min: 1, max: 30 }),
      samples: fc.integer({ min: 1, max: 4 }),
      evaluateEvery: fc.integer({ min: 1, max: 20 }),
      validation: fc.double({ min: 0.05, max: 0.6, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(sizes, async (options) => {
        const run = await fit(options).catch((error: unknown) => {
          expect(String(error)).toMatch(/budget of \d+ queries is too small/);
          return undefined;
        });
        if (run === undefined) return;
        expect(run.state.queries).toBe(run.asked);
        expect(run.asked).toBeLessThanOrEqual(options.queries);
        expect(run.progress.at(-1)).toMatchObject({ step: run.progress[0].steps, queries: run.asked });
      }),
      { numRuns: 60 },
    );
  });

  it('refuses a budget below one step and its looks before it asks anything', async () => {
    const blackBox = new LinearBlackBox();
    // 2·2 candidates on 6 pictures, and three looks at 6.
    await expect(fit({ queries: 41 }, { blackBox })).rejects.toThrow(
      /budget of 41 queries is too small: one step asks 24, .* 6 pictures .* 18\.$/,
    );
    expect(blackBox.asked).toBe(0);
    expect((await fit({ queries: 48 })).progress).toHaveLength(1);
  });

  it('takes at least one step with the smallest budget that it does not refuse', async () => {
    const { state, asked } = await fit({ queries: 42, evaluateEvery: 1 });
    expect(state.spsa.step).toBe(1);
    expect(asked).toBeLessThanOrEqual(42);
  });

  it('keeps the parameters of least loss on the pictures that judge', async () => {
    const { state, checkpoints, progress } = await fit();
    const looks = progress.filter(({ step, steps }) => step % 4 === 0 || step === steps);
    const losses = looks.map(({ validation }) => validation.loss);
    const first = checkpoints[0].best.step === 0 ? [checkpoints[0].best.loss] : [];
    expect(state.best.loss).toBe(Math.min(...losses, ...first));
    const at = looks.find(({ validation }) => validation.loss === state.best.loss)!;
    expect(state.best.step).toBe(at.step);
    expect(state.best.parameters).toEqual(
      checkpoints.find(({ spsa }) => spsa.step === at.step)!.spsa.parameters,
    );
    expect(state.best.loss).toBeLessThan(state.base.loss);
  });

  it('beats another only with more right answers, at no greater loss', () => {
    const base = { loss: 1, accuracy: 0.5 };
    expect(beats({ loss: 1, accuracy: 0.6 }, base)).toBe(true);
    for (const other of [
      { loss: 0.9, accuracy: 0.5 },
      { loss: 1.1, accuracy: 0.9 },
      { loss: 0.5, accuracy: 0.4 },
      { loss: NaN, accuracy: 0.9 },
    ]) {
      expect(beats(other, base)).toBe(false);
    }
  });

  it('goes on from any checkpoint to bitwise the same end', async () => {
    const { state, checkpoints } = await fit();
    expect(checkpoints.length).toBeGreaterThan(5);
    for (const from of checkpoints) expect((await fit({}, { from })).state).toEqual(state);
  });

  it('depends on its seed alone', async () => {
    const [one, same, other] = await Promise.all([fit(), fit(), fit({ seed: 4 })]);
    expect(same.state).toEqual(one.state);
    expect(other.state.spsa.parameters).not.toEqual(one.state.spsa.parameters);
  });

  it('tells of its progress in numbers, without the parameters', async () => {
    const { progress } = await fit({ evaluateEvery: 50 });
    for (const { validation, step } of progress) {
      expect(Object.keys(validation).sort(), `step ${step}`).toEqual(['accuracy', 'loss']);
    }
  });

  it('ends with the reason of its signal, in the middle of a step', async () => {
    const abort = new AbortController();
    const blackBox = new LinearBlackBox((asked) => {
      if (asked > 500) abort.abort(new Error('enough'));
    });
    await expect(fit({}, { blackBox, signal: abort.signal })).rejects.toThrow('enough');
    expect(blackBox.asked).toBeLessThan(600);
  });

  it('ends with what the black box throws', async () => {
    const blackBox = new LinearBlackBox((asked) => {
      if (asked > 100) throw new Error('the line is dead');
    });
    await expect(fit({}, { blackBox })).rejects.toThrow('the line is dead');
  });
});
