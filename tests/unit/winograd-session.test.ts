import { afterEach, describe, expect, it } from 'vitest';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { encodeModel, GraphBuilder } from '#ballast/runtime/onnx/graph-builder.js';
import { Session, type SessionSpec } from '#ballast/runtime/session.js';
import type { Tensor } from '#ballast/runtime/tensor.js';
import { gap } from '../fixtures/modulated-runs.js';

const SIZE = 256 * 8 * 8;

/** A layer that Winograd's convolutions make faster on any machine: 36 multiplications instead of 144. */
function layer(): Uint8Array {
  const numbers = new GaussianNoise(3);
  const graph = new GraphBuilder('layer');
  graph.input('x', 'float32', ['N', 256, 8, 8]);
  const data = Float32Array.from({ length: 256 * 256 * 9 }, () => numbers.next() / 48);
  const weight = graph.constant({ type: 'float32', dims: [256, 256, 3, 3], data });
  graph.node('Conv', ['x', weight], { pads: { ints: [1, 1, 1, 1] } }, 'y');
  graph.output('y', 'float32', ['N', 256, 8, 8]);
  return encodeModel(graph);
}

const batch = (samples: number): Tensor => {
  const numbers = new GaussianNoise(samples);
  const data = Float32Array.from({ length: samples * SIZE }, () => numbers.next());
  return { type: 'float32', dims: [samples, 256, 8, 8], data };
};

const sessions: Session[] = [];
async function open(more: Partial<SessionSpec> = {}): Promise<Session> {
  const base = { file: layer(), expose: [], providers: ['cpu'], threads: 1, spinMicroseconds: 0 } as const;
  const session = await Session.open({ ...base, ...more });
  sessions.push(session);
  return session;
}

afterEach(async () => {
  await Promise.all(sessions.splice(0).map((session) => session.release()));
});

const answer = async (session: Session, x: Tensor): Promise<Float32Array> =>
  (await session.run({ x }, ['y'])).y.data as Float32Array;

describe("a session with Winograd's convolutions", () => {
  it('takes them for batches, whose answers differ from its own in the last digits', async () => {
    const [plain, fast] = [await open(), await open({ winograd: true })];
    const x = batch(8);
    const [own, changed] = [await answer(plain, x), await answer(fast, x)];
    expect(gap(changed, own)).toBeLessThan(1e-4);
    expect(changed).not.toEqual(own);
  });

  it('answers up to three samples bit by bit as the file does', async () => {
    const [plain, fast] = [await open(), await open({ winograd: true })];
    for (const samples of [1, 2, 3]) {
      const x = batch(samples);
      expect(await answer(fast, x)).toEqual(await answer(plain, x));
    }
  });
});
