import { afterEach, describe, expect, it } from 'vitest';
import { Session, type SessionSpec } from '#ballast/runtime/session.js';
import type { Tensor } from '#ballast/runtime/tensor.js';
import { gap } from '../fixtures/modulated-runs.js';
import { wideBatch, wideLayer } from '../fixtures/wide-layer.js';

const sessions: Session[] = [];
async function open(more: Partial<SessionSpec> = {}): Promise<Session> {
  const base = {
    file: wideLayer(),
    expose: [],
    providers: ['cpu'],
    threads: 1,
    spinMicroseconds: 0,
  } as const;
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
    const x = wideBatch(8);
    const [own, changed] = [await answer(plain, x), await answer(fast, x)];
    expect(gap(changed, own)).toBeLessThan(1e-4);
    expect(changed).not.toEqual(own);
  });

  it('answers up to three samples bit by bit as the file does', async () => {
    const [plain, fast] = [await open(), await open({ winograd: true })];
    for (const samples of [1, 2, 3]) {
      const x = wideBatch(samples);
      expect(await answer(fast, x)).toEqual(await answer(plain, x));
    }
  });
});
