import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { spreadOf } from '#ballast/deepfake/verdict.js';
import { softmax, toMatrix } from '#ballast/runtime/matrix.js';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { Session } from '#ballast/runtime/session.js';
import type { Tensor } from '#ballast/runtime/tensor.js';

/** How far an answer may be from the expected one. */
interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** A head and the features of some frames, with what GenD makes of them in float64. */
interface HeadCase {
  readonly title: string;
  readonly frames: number;
  readonly width: number;
  readonly features: readonly number[];
  readonly weight: readonly number[];
  readonly bias: readonly number[];
  readonly logits: readonly number[];
  readonly probabilities: readonly number[];
  readonly videoScore: number;
  readonly tolerance: Tolerance;
}

type Common = Pick<HeadCase, 'features' | 'weight' | 'bias'> & { D: number };

interface Narrow extends Tolerance {
  cases: (Common & {
    N: number;
    expectedLogits: number[];
    expectedProbabilities: number[];
    expectedVideoScore: number;
  })[];
}

interface Wide {
  tolerance: Tolerance;
  cases: (Common & { frames: number; logits: number[]; probs: number[]; video_fake_prob: number })[];
}

const golden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../golden/${name}`, import.meta.url), 'utf8'));

function headCases(): HeadCase[] {
  const narrow = golden('gend_head.json') as Narrow;
  const wide = golden('wide/gend_head.json') as Wide;
  return [
    ...narrow.cases.map((problem): HeadCase => ({
      title: `${problem.N} frames of ${problem.D} features`,
      ...problem,
      ...{ frames: problem.N, width: problem.D, tolerance: { rtol: narrow.rtol, atol: narrow.atol } },
      ...{ logits: problem.expectedLogits, probabilities: problem.expectedProbabilities },
      videoScore: problem.expectedVideoScore,
    })),
    ...wide.cases.map((problem): HeadCase => ({
      title: `${problem.frames} frames of ${problem.D} features, wide`,
      ...problem,
      ...{ width: problem.D, probabilities: problem.probs, videoScore: problem.video_fake_prob },
      tolerance: wide.tolerance,
    })),
  ];
}

/** The end of an exported GenD: features `[N, D]` to logits `[N, 2]`, node for node as models/train/export_gend.py has it. */
function headModel({ width, weight, bias }: HeadCase): Uint8Array {
  const graph = new GraphBuilder('head');
  graph.input('features', 'float32', ['N', width]);
  const least = graph.constant({ type: 'float32', dims: [], data: Float32Array.of(1e-12) });
  const weights = graph.constant({ type: 'float32', dims: [2, width], data: Float32Array.from(weight) });
  const biases = graph.constant({ type: 'float32', dims: [2], data: Float32Array.from(bias) });
  const norm = graph.node('ReduceL2', ['features'], { axes: { ints: [1] }, keepdims: { int: 1 } });
  const length = graph.node('Clip', [norm, least, '']);
  const shape = graph.node('Shape', ['features']);
  const unit = graph.node('Div', ['features', graph.node('Expand', [length, shape])]);
  graph.node('Gemm', [unit, weights, biases], { transB: { int: 1 } }, 'logits');
  graph.output('logits', 'float32', ['N', 2]);
  return encodeModel(graph, { opset: 17 });
}

async function logitsOf(problem: HeadCase): Promise<ReturnType<typeof toMatrix>> {
  const session = await Session.open({
    ...{ file: headModel(problem), expose: [], providers: ['cpu'], threads: 1, spinMicroseconds: 0 },
  });
  try {
    const features: Tensor = {
      type: 'float32',
      dims: [problem.frames, problem.width],
      data: Float32Array.from(problem.features),
    };
    const { logits } = await session.run({ features }, ['logits']);
    return toMatrix(logits, 'logits');
  } finally {
    await session.release();
  }
}

function expectClose(
  actual: ArrayLike<number>,
  expected: readonly number[],
  { rtol, atol }: Tolerance,
): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) {
    expect(Math.abs(actual[i] - value), `value ${i}`).toBeLessThanOrEqual(atol + rtol * Math.abs(value));
  }
}

describe.each(headCases())('the head of GenD on $title', (problem) => {
  it('gives the logits, probabilities and video score of the reference', async () => {
    const logits = await logitsOf(problem);
    expectClose(logits.data, problem.logits, problem.tolerance);
    const { data } = softmax(logits);
    expectClose(data, problem.probabilities, problem.tolerance);
    const fake = Array.from({ length: problem.frames }, (_, frame) => data[2 * frame + 1]);
    expectClose([spreadOf(fake).mean], [problem.videoScore], problem.tolerance);
  });

  it('does not see how long a feature is', async () => {
    const longer = problem.features.map((value) => value * 64);
    expectClose((await logitsOf({ ...problem, features: longer })).data, problem.logits, problem.tolerance);
  });
});

describe('the head of GenD on a feature of zeros', () => {
  it('answers with the bias alone', async () => {
    const [problem] = headCases();
    const { data } = await logitsOf({ ...problem, features: problem.features.map(() => 0) });
    const biases = Array.from({ length: problem.frames }, () => problem.bias).flat();
    expectClose(data, biases, problem.tolerance);
  });
});
