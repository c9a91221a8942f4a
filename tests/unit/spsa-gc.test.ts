import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SpsaGc } from '#ballast/adapt/spsa-gc.js';

type Loss = (w: Float64Array) => number;

interface Case {
  readonly problem: 'quadratic' | 'softmax';
  readonly correction: 'spsa-gc' | 'spsa';
  readonly samples: number;
  readonly steps: number;
  readonly a: number;
  readonly c: number;
  readonly o: number;
  readonly alpha: number;
  readonly gamma: number;
  readonly beta: number;
  readonly initial: number[];
  readonly perturbations: number[][][];
  readonly data: { A: number[]; target: number[]; X: number[]; labels: number[]; shape: number[] };
  readonly expected: number[][];
}

interface Trajectory {
  readonly problem: 'quadratic' | 'softmax_regression';
  readonly opt_type: 'spsa-gc' | 'spsa';
  readonly sp_avg: number;
  readonly a: number;
  readonly c: number;
  readonly o: number;
  readonly alpha: number;
  readonly gamma: number;
  readonly b1: number;
  readonly definition: { A: number[]; b: number[]; X: number[]; labels: number[]; d: number; k: number };
  readonly initial_params: number[];
  readonly steps: {
    readonly perturbations: number[][];
    readonly losses: number[][];
    readonly params: number[];
    readonly m1: number[] | null;
    readonly reported_loss: number;
  }[];
}

function read(path: string): unknown {
  return JSON.parse(readFileSync(new URL(`../golden/${path}`, import.meta.url), 'utf8'));
}

function quadratic(A: number[], target: number[] | undefined, b: number[] | undefined): Loss {
  return (w) => {
    const v = Array.from(w, (value, i) => value - (target?.[i] ?? 0));
    let sum = 0;
    for (let i = 0; i < v.length; i++) {
      for (let j = 0; j < v.length; j++) sum += 0.5 * v[i] * A[i * v.length + j] * v[j];
      sum -= (b?.[i] ?? 0) * w[i];
    }
    return sum;
  };
}

/** Mean cross-entropy; `logit` gives the logit of a row and class. */
function crossEntropy(labels: number[], classes: number, logit: (row: number, k: number) => number): number {
  let loss = 0;
  labels.forEach((label, row) => {
    const logits = Array.from({ length: classes }, (_, k) => logit(row, k));
    const max = Math.max(...logits);
    loss += max + Math.log(logits.reduce((sum, l) => sum + Math.exp(l - max), 0)) - logits[label];
  });
  return loss / labels.length;
}

function softmaxLoss({ X, labels, shape }: Case['data']): Loss {
  // shape: samples, features, classes; W is [features, classes].
  const [features, classes] = shape.length === 3 ? [shape[1], shape[2]] : [shape[0], shape[1]];
  return (w) =>
    crossEntropy(labels, classes, (row, k) => {
      let sum = 0;
      for (let d = 0; d < features; d++) sum += X[row * features + d] * w[d * classes + k];
      return sum;
    });
}

function regressionLoss({ X, labels, d, k: classes }: Trajectory['definition']): Loss {
  return (w) =>
    crossEntropy(labels, classes, (row, k) => {
      let sum = w[classes * d + k];
      for (let i = 0; i < d; i++) sum += X[row * d + i] * w[k * d + i];
      return sum;
    });
}

function expectClose(
  actual: ArrayLike<number>,
  expected: readonly number[],
  rtol: number,
  atol: number,
): void {
  expected.forEach((value, i) => {
    expect(Math.abs(actual[i] - value), `entry ${i}`).toBeLessThanOrEqual(atol + rtol * Math.abs(value));
  });
}

describe('SPSA-GC replays the golden trajectories', () => {
  const { cases, rtol, atol } = read('spsa_gc.json') as {
    cases: Case[];
    rtol: number;
    atol: number;
  };
  it.each(cases)('$problem, $correction, $samples draws a step', async (one) => {
    const { problem, data, perturbations, initial, expected, steps, ...options } = one;
    const loss = problem === 'quadratic' ? quadratic(data.A, data.target, undefined) : softmaxLoss(data);
    const optimiser = new SpsaGc(initial, {
      ...options,
      perturb: (step, draw) => perturbations[step - 1][draw],
    });
    expect(expected).toHaveLength(steps);
    for (const parameters of expected) {
      await optimiser.step(loss);
      expectClose(optimiser.parameters, parameters, rtol, atol);
    }
  });
});

describe('SPSA-GC replays the wide trajectories', () => {
  const { trajectories, tolerance } = read('wide/spsa_gc.json') as {
    trajectories: Trajectory[];
    tolerance: { rtol: number; atol: number };
  };
  it.each(trajectories)('$problem, $opt_type, $sp_avg draws a step, o $o, c $c', async (one) => {
    const { problem, definition, steps, opt_type, sp_avg, b1, a, c, o, alpha, gamma } = one;
    const loss =
      problem === 'quadratic' ? quadratic(definition.A, undefined, definition.b) : regressionLoss(definition);
    const optimiser = new SpsaGc(one.initial_params, {
      ...{ a, c, o, alpha, gamma, beta: b1, samples: sp_avg, correction: opt_type },
      perturb: (step, draw) => steps[step - 1].perturbations[draw],
    });
    const { rtol, atol } = tolerance;
    for (const expected of steps) {
      const told: number[] = [];
      const { loss: reported } = await optimiser.step((parameters) => {
        told.push(loss(parameters));
        return told.at(-1)!;
      });
      expectClose(told, expected.losses.flat(), rtol, atol);
      expectClose(optimiser.parameters, expected.params, rtol, atol);
      // The reference reports the last draw's loss, and this one the mean of all.
      if (sp_avg === 1) expectClose([reported], [expected.reported_loss], rtol, atol);
      if (expected.m1 !== null) expectClose(optimiser.state.momentum, expected.m1, rtol, atol);
    }
  });
});

describe('SPSA-GC', () => {
  const loss: Loss = (w) => w.reduce((sum, value, i) => sum + (value - i) ** 2, 0);

  it('comes down on a bowl', async () => {
    const optimiser = new SpsaGc(new Float64Array(6), { a: 0.05, seed: 3 });
    for (let step = 0; step < 300; step++) await optimiser.step(loss);
    expect(loss(optimiser.parameters)).toBeLessThan(0.01 * loss(new Float64Array(6)));
  });

  it('goes on from a state as if it had never stopped', async () => {
    const whole = new SpsaGc(new Float64Array(6), { seed: 5 });
    for (let step = 0; step < 9; step++) await whole.step(loss);
    const first = new SpsaGc(new Float64Array(6), { seed: 5 });
    for (let step = 0; step < 4; step++) await first.step(loss);
    const second = new SpsaGc(first.state, { seed: 5 });
    for (let step = 4; step < 9; step++) await second.step(loss);
    expect(second.state).toEqual(whole.state);
  });

  it('draws entries of size 1/2 to 1, other ones for each seed, step and draw', async () => {
    const seen = new Set<string>();
    for (const seed of [1, 2]) {
      const optimiser = new SpsaGc(new Float64Array(500), { c: 1, gamma: 0, seed, samples: 2 });
      for (let step = 0; step < 2; step++) {
        const before = optimiser.parameters;
        await optimiser.stepTogether((candidates) => {
          for (const [i, candidate] of candidates.entries()) {
            const delta = candidate.map((value, j) => value - before[j]);
            for (const size of delta.map(Math.abs)) {
              expect(size).toBeGreaterThan(0.5 - 1e-6);
              expect(size).toBeLessThanOrEqual(1 + 1e-6);
            }
            if (i % 2 === 0)
              seen.add(
                delta
                  .slice(0, 5)
                  .map((value) => Number(value.toFixed(6)))
                  .join(' '),
              );
          }
          return Promise.resolve(candidates.map(() => 0));
        });
      }
    }
    expect(seen.size).toBe(8);
  });

  it('refuses a loss that is not finite, and stays where it was', async () => {
    const optimiser = new SpsaGc([1, 2]);
    await expect(optimiser.step(() => Number.NaN)).rejects.toThrow(/loss of NaN/);
    expect(optimiser.state).toMatchObject({ step: 0, parameters: Float64Array.of(1, 2) });
  });

  it.each([
    [{ a: 0 }, /^a is 0/],
    [{ beta: 1 }, /^beta is 1/],
    [{ samples: 1.5 }, /^samples is 1.5/],
    [{ c: Number.NaN }, /^c is NaN/],
  ])('refuses %o', (options, message) => {
    expect(() => new SpsaGc([1], options)).toThrow(message);
  });
});
