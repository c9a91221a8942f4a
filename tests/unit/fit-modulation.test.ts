import { describe, expect, it } from 'vitest';
import { fitModulation, modulationOfParameters } from '#ballast/adapt/fit-modulation.js';
import type { FitPromptOptions } from '#ballast/adapt/fit-prompt.js';
import type { ModulatedLayer } from '#ballast/adapt/modulation.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { Matrix, TensorMap } from '#ballast/runtime/tensor.js';

const LAYERS: readonly ModulatedLayer[] = [
  { name: 'head', channels: 2, gamma: 'head.gamma', beta: 'head.beta' },
];
const OPTIONS: FitPromptOptions = {
  seed: 1,
  queries: 30_000,
  batchSize: 16,
  validation: 0.25,
  evaluateEvery: 10,
  a: 0.05,
  c: 0.01,
};

/** A network of one layer, y = gamma x + beta, whose second logit is far too high: all samples go to class 1. */
function classify(inputs: TensorMap): Promise<Matrix> {
  const [x, gamma, beta] = ['x', 'head.gamma', 'head.beta'].map((name) => inputs[name].data as Float32Array);
  const data = x.map((value, i) => (value + (i % 2 === 1 ? 6 : 0)) * gamma[i] + beta[i]);
  return Promise.resolve({ data, rows: data.length / 2, cols: 2 });
}

function samples(count: number): { samples: TensorMap; labels: Uint32Array } {
  const random = new SeededRandom(3);
  const labels = Uint32Array.from({ length: count }, (_, i) => i % 2);
  const data = new Float32Array(2 * count);
  labels.forEach((label, i) => {
    data[2 * i + label] = 2 + random.uniform();
  });
  return { samples: { x: { type: 'float32', dims: [count, 2], data } }, labels };
}

describe('fitting scales and shifts by forward passes', () => {
  it('wins back what a constant offset costs, within the budget', async () => {
    let asked = 0;
    const { base, best, queries } = await fitModulation({
      layers: LAYERS,
      ...samples(48),
      classify: (inputs) => {
        asked += inputs['x'].dims[0];
        return classify(inputs);
      },
      options: OPTIONS,
    });
    expect(base.accuracy).toBe(0.5);
    expect(best.accuracy).toBe(1);
    expect(queries).toBe(asked);
    expect(queries).toBeLessThanOrEqual(OPTIONS.queries);
  });

  it('begins at the identity, and gives the same set for the same seed', async () => {
    const run = () =>
      fitModulation({ layers: LAYERS, ...samples(24), classify, options: { ...OPTIONS, queries: 2000 } });
    const [one, other] = [await run(), await run()];
    expect(one.best.parameters).toEqual(other.best.parameters);
    const tiny = await fitModulation({
      layers: LAYERS,
      ...samples(24),
      classify,
      options: { ...OPTIONS, queries: 400, a: 1e-12 },
    });
    const { gamma, beta } = modulationOfParameters(LAYERS, tiny.best.parameters).get('head')!;
    for (const value of gamma) expect(value).toBeCloseTo(1, 6);
    for (const value of beta) expect(value).toBeCloseTo(0, 6);
  });

  it('refuses a budget that does not pay for one step', async () => {
    const fit = fitModulation({
      layers: LAYERS,
      ...samples(24),
      classify,
      options: { ...OPTIONS, queries: 50 },
    });
    await expect(fit).rejects.toThrow(/budget of 50 queries is too small: one step asks 160/);
  });
});
