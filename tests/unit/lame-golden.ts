import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Affinity } from '#ballast/adapt/affinity.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

/** How far an answer may be from the expected one. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** A problem whose answer the authors' code has given. */
export interface GoldenCase {
  readonly title: string;
  readonly input: string;
  readonly options: { readonly affinity: Affinity; readonly k: number; readonly symmetrize: boolean };
  readonly probabilities: Matrix;
  readonly features: Matrix;
  /** Undefined where the reference gives NaN. */
  readonly expected:
    { readonly assignments: number[]; readonly energy: number; readonly iterations: number } | undefined;
  /** Affinity matrices before symmetrising, with the answers that go with them, where ties leave a choice. */
  readonly kernels: readonly { readonly kernel: number[]; readonly assignments: number[] }[];
  /** The neighbours depend on how the norm of a row rounds, so that no rule for ties gives them. */
  readonly illPosed: boolean;
  readonly tolerance: { readonly float64: Tolerance; readonly float32: Tolerance };
}

interface Problem {
  N: number;
  K: number;
  D: number;
  features: number[];
}

interface Answer {
  Y: number[];
  energy: number;
  iterations: number;
  kernel?: number[];
}

interface SmallSet extends Tolerance {
  cases: (Problem &
    GoldenCase['options'] & {
      name: string;
      probabilities: number[];
      expected: number[];
      energy: number;
      iterations: number;
    })[];
}

interface WideSet {
  tolerance: GoldenCase['tolerance'];
  inputs: (Problem & { id: string; probs: number[] })[];
  cases: (Answer & {
    input: string;
    affinity: Affinity;
    knn: number;
    symmetrize: boolean;
    nan?: boolean;
    self_excluded?: Answer;
  })[];
}

const folder = new URL('../golden/', import.meta.url);

function title({ affinity, k, symmetrize }: GoldenCase['options'], input: string): string {
  return `${input}: ${affinity}, k = ${k}${symmetrize ? ', symmetrised' : ''}`;
}

function matrix(data: number[], rows: number): Matrix {
  return { data: Float32Array.from(data), rows, cols: data.length / rows };
}

/** The 46 cases of lame.json. */
export function smallSet(): GoldenCase[] {
  const { rtol, atol, cases } = JSON.parse(readFileSync(new URL('lame.json', folder), 'utf8')) as SmallSet;
  return cases.map(
    ({ name, N, affinity, k, symmetrize, probabilities, features, expected, energy, iterations }) => ({
      title: title({ affinity, k, symmetrize }, name),
      input: name,
      options: { affinity, k, symmetrize },
      probabilities: matrix(probabilities, N),
      features: matrix(features, N),
      expected: { assignments: expected, energy, iterations },
      kernels: [],
      illPosed: false,
      tolerance: { float64: { rtol, atol }, float32: { rtol, atol } },
    }),
  );
}

/** The 470 cases of wide/lame.json; where neighbours tie, the answer is the one that leaves a sample out by its index. */
export function wideSet(): GoldenCase[] {
  const bytes = gunzipSync(readFileSync(new URL('wide/lame.json.gz', folder)));
  const set = JSON.parse(bytes.toString('utf8')) as WideSet;
  const inputs = new Map(set.inputs.map((input) => [input.id, input]));
  return set.cases.map((golden) => {
    const { N, probs, features } = inputs.get(golden.input)!;
    const options = { affinity: golden.affinity, k: golden.knn, symmetrize: golden.symmetrize };
    const answer = golden.self_excluded ?? golden;
    return {
      title: title(options, golden.input),
      input: golden.input,
      options,
      probabilities: matrix(probs, N),
      features: matrix(features, N),
      expected:
        golden.nan === true
          ? undefined
          : { assignments: answer.Y, energy: answer.energy, iterations: answer.iterations },
      kernels: [golden, golden.self_excluded].flatMap((tied) =>
        tied?.kernel === undefined ? [] : [{ kernel: tied.kernel, assignments: tied.Y }],
      ),
      illPosed: golden.input === 'zero_feature' && golden.affinity === 'knn' && golden.knn < N - 1,
      tolerance: set.tolerance,
    };
  });
}

/** How many times the tolerance the worst entry is off; NaN counts as infinitely far. */
export function distanceFrom(
  actual: ArrayLike<number>,
  expected: readonly number[],
  { rtol, atol }: Tolerance,
): number {
  if (actual.length !== expected.length) return Infinity;
  const distances = expected.map((value, i) => Math.abs(actual[i] - value) / (atol + rtol * Math.abs(value)));
  return distances.some(Number.isNaN) ? Infinity : Math.max(...distances);
}
