import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gaussianRadius, lipschitzRadius } from '#ballast/robust/certificate.js';
import { lowerBound, upperBound } from '#ballast/robust/clopper-pearson.js';
import { mixingAlpha, transformLogits } from '#ballast/robust/mixing.js';
import { smooth } from '#ballast/robust/smoothing.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

interface Golden {
  rtol: number;
  atol: number;
  mix: {
    N: number;
    K: number;
    alpha: number | number[];
    standardScale: number;
    robustScale: number;
    standard: number[];
    robust: number[];
    expected: number[];
  }[];
  alpha: (Parameters<typeof mixingAlpha>[1] & { gamma: number[]; expected: number[] })[];
  radius: {
    first: number;
    second: number;
    alpha: number;
    sigma: number;
    lipschitz: number;
    expectedLipschitzRadius: number | null;
    expectedGaussianRadius: number | null;
  }[];
}

interface Wide {
  fixed_alpha: WideMix[];
  mixing_network: (WideMix & {
    raw_gamma: number[];
    bn_running_mean: number;
    bn_running_var: number;
    bn_eps: number;
    gamma_scale: number;
    gamma_bias: number;
    alpha_scale: number;
    alpha_bias: number;
    alpha: number[];
  })[];
  certified: {
    top2: number[];
    correct_mask: number[];
    lipschitz: { real_alpha: number | null; Lip_h: number; radii: (number | string)[] }[];
    rs: { real_alpha: number | null; sigma: number; radii: (number | string)[] }[];
  };
  clopper_pearson_lower: { nA: number; n: number; alpha: number; pABar: number }[];
}

interface WideMix {
  B: number;
  K: number;
  alpha: number | number[];
  std_scale: number;
  rob_scale: number;
  std_logits: number[];
  rob_logits: number[];
  mixed_probs?: number[];
  output: (number | string)[];
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8'));
const golden = read('adaptive_smoothing.json') as Golden;
const wide = read('wide/adaptive_smoothing.json') as Wide;

const matrix = (values: number[], rows: number, cols: number): Matrix => ({
  data: Float32Array.from(values),
  rows,
  cols,
});
const floats = (alpha: number | number[]): number | Float32Array =>
  typeof alpha === 'number' ? alpha : Float32Array.from(alpha);

function expectClose(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  rtol: number,
  atol: number,
): void {
  expect(found).toHaveLength(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(found[i] - expected[i]), `element ${i}`).toBeLessThanOrEqual(
      atol + rtol * Math.abs(expected[i]),
    );
  }
}

describe('smooth', () => {
  it.each(golden.mix)('gives the reference’s mixture, N $N, K $K', (mix) => {
    const { N, K, alpha, standardScale, robustScale, standard, robust, expected } = mix;
    const { data } = smooth(matrix(standard, N, K), matrix(robust, N, K), floats(alpha), {
      standardScale,
      robustScale,
    });
    expectClose(data, expected, golden.rtol, golden.atol);
  });

  it.each([...wide.fixed_alpha, ...wide.mixing_network])('gives the wide set’s mixture', (mix) => {
    const { B, K, alpha, std_scale, rob_scale, std_logits, rob_logits, mixed_probs, output } = mix;
    const scales = { standardScale: std_scale, robustScale: rob_scale };
    const { data } = smooth(matrix(std_logits, B, K), matrix(rob_logits, B, K), floats(alpha), scales);
    // In probability space, where the reference's logarithm of an underflown 0 and our finite one agree.
    const probabilities = mixed_probs ?? output.map((value) => Math.exp(Number(value)));
    expectClose(data.map(Math.exp), probabilities, 1e-5, 1e-7);
  });

  it('refuses shapes that differ, an alpha outside [0, 1] and a logit that is not finite', () => {
    const two = matrix([1, 2, 3, 4], 2, 2);
    expect(() => smooth(two, matrix([1, 2], 1, 2), 0.5)).toThrow(/robust ones \[1, 2\]/);
    expect(() => smooth(two, two, Float32Array.of(0.5))).toThrow(/alpha \[1\]/);
    expect(() => smooth(two, two, 1.01)).toThrow(/Alpha is 1.01 for sample 0/);
    expect(() => smooth(two, two, Number.NaN)).toThrow(/Alpha is NaN/);
    expect(() => smooth(two, matrix([1, 2, Number.NaN, 4], 2, 2), 0.5)).toThrow(/robust.*sample 1/);
  });
});

describe('mixingAlpha', () => {
  it.each(golden.alpha)('gives the reference’s alpha, scale $alphaScale, bias $alphaBias', (vector) => {
    const alpha = mixingAlpha(Float32Array.from(vector.gamma), vector);
    expectClose(alpha, vector.expected, golden.rtol, golden.atol);
  });

  it.each(wide.mixing_network)('gives the wide set’s alpha', (vector) => {
    const alpha = mixingAlpha(Float32Array.from(vector.raw_gamma), {
      mean: vector.bn_running_mean,
      variance: vector.bn_running_var,
      epsilon: vector.bn_eps,
      gammaScale: vector.gamma_scale,
      gammaBias: vector.gamma_bias,
      alphaScale: vector.alpha_scale,
      alphaBias: vector.alpha_bias,
    });
    expectClose(alpha, vector.alpha, 1e-5, 1e-7);
  });
});

describe('transformLogits', () => {
  it('standardises, passes the GELU and keeps the sign of the power', () => {
    // LN of [1, 2, 3] is [-1.2247, 0, 1.2247], and GELU of it [-0.1351, 0, 1.0896].
    const { data } = transformLogits(matrix([1, 2, 3], 1, 3), { scale: 5, power: 2, shift: 0 });
    expectClose(data, [-5 * 0.13507 ** 2, 0, 5 * 1.08961 ** 2], 1e-3, 1e-5);
  });

  it('does not change with the scale and offset of the logits', () => {
    const options = { scale: 3, power: 1.5, shift: -0.5 };
    const once = transformLogits(matrix([0, 10, -20, 5], 1, 4), options);
    const again = transformLogits(matrix([7, 27, -33, 17], 1, 4), options);
    expectClose(again.data, once.data, 1e-4, 1e-5);
  });
});

describe('certified radii', () => {
  it.each(golden.radius)('are the reference’s, alpha $alpha, σ $sigma', (vector) => {
    const { first, second, alpha, sigma, lipschitz } = vector;
    const { expectedLipschitzRadius, expectedGaussianRadius } = vector;
    expectClose(
      [lipschitzRadius(first, second, alpha, lipschitz)],
      [expectedLipschitzRadius ?? Infinity],
      golden.rtol,
      golden.atol,
    );
    if (expectedGaussianRadius === null) expect(gaussianRadius(first, second, alpha, sigma)).toBe(Infinity);
    else expectClose([gaussianRadius(first, second, alpha, sigma)], [expectedGaussianRadius], 1e-5, 1e-6);
  });

  it('are the wide set’s', () => {
    const { top2, correct_mask, lipschitz, rs } = wide.certified;
    const radiusOr0 = (i: number, radius: (first: number, second: number) => number): number =>
      correct_mask[i] === 1 ? radius(top2[2 * i], top2[2 * i + 1]) : 0;
    for (const { real_alpha, Lip_h, radii } of lipschitz) {
      const alpha = real_alpha ?? Number.NaN;
      const found = radii.map((_, i) =>
        radiusOr0(i, (first, second) => lipschitzRadius(first, second, alpha, Lip_h)),
      );
      expectClose(found, radii.map(Number), 1e-6, 1e-9);
    }
    for (const { real_alpha, sigma, radii } of rs) {
      const alpha = real_alpha ?? Number.NaN;
      radii.forEach((radius, i) => {
        const found = radiusOr0(i, (first, second) => gaussianRadius(first, second, alpha, sigma));
        if (Number(radius) === Infinity) expect(found).toBe(Infinity);
        else expectClose([found], [Number(radius)], 1e-6, 1e-9);
      });
    }
  });
});

describe('Clopper-Pearson bounds', () => {
  it.each(wide.clopper_pearson_lower)(
    'are the reference’s: $nA of $n at $alpha',
    ({ nA, n, alpha, pABar }) => {
      expectClose([lowerBound(nA, n, alpha)], [pABar], 1e-6, 1e-9);
      // The upper bound of the hits is the lower bound of the misses, turned around.
      expectClose([1 - upperBound(n - nA, n, alpha)], [pABar], 1e-6, 1e-9);
    },
  );
});
