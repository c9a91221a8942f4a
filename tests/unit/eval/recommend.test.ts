import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { recommend } from '#ballast/eval/recommend.js';
import type { Cell } from '#ballast/eval/report-schema.js';

const SOME = { value: 0.5, low: 0.4, high: 0.6 };
const METRICS = { accuracy: SOME, logLoss: SOME, calibrationError: SOME };

/** A cell with a gain in points, plus or minus a point and a half unless said otherwise. */
function cell(
  method: string,
  stream: string,
  batch: number,
  gain: number,
  { condition = 'clean', half = 1.5 }: { condition?: string; half?: number } = {},
): Cell {
  const accuracy = { value: gain / 100, low: (gain - half) / 100, high: (gain + half) / 100 };
  return {
    ...{ condition, stream, batch, method, metrics: METRICS, changed: 0, msPerSample: 1 },
    ...(method !== 'base' && { gain: { ...METRICS, accuracy } }),
  };
}

const base = (stream: string, batch: number): Cell => cell('base', stream, batch, 0);

describe('recommend', () => {
  it('switches on what helps everywhere', () => {
    const { method, fragment, summary } = recommend([
      ...[base('shuffled', 64), base('runs:40', 64)],
      ...[cell('smoothing', 'shuffled', 64, 3), cell('smoothing', 'runs:40', 64, 4)],
    ]);
    expect(method).toBe('smoothing');
    expect(parse(fragment)).toEqual({ smoothing: { default: 'on' } });
    expect(summary).toContain('Switch on smoothing');
  });

  it('leaves off what may be chance', () => {
    const { method, fragment, traffic, summary } = recommend([
      ...[base('shuffled', 64), cell('lame', 'shuffled', 64, 1)],
    ]);
    expect(method).toBe('base');
    expect(parse(fragment)).toEqual({ lame: { scope: 'off' } });
    expect(traffic[0].reason).toContain('+1.0 points [-0.5, +2.5], and that interval includes 0');
    expect(summary).toContain('Leave it off');
  });

  it('leaves off what costs shuffled clean traffic more than half a point, and says for what it would be good', () => {
    const { method, traffic } = recommend([
      ...[base('shuffled', 64), base('runs:40', 64)],
      ...[cell('lame', 'shuffled', 64, -0.6, { half: 2 }), cell('lame', 'runs:40', 64, 9)],
    ]);
    expect(method).toBe('base');
    expect(traffic.map((advice) => advice.method)).toEqual(['base', 'base']);
    expect(traffic[1].reason).toContain('costs shuffled clean traffic 0.6 points');
  });

  it('bears half a point', () => {
    const { method, lameScope } = recommend([
      ...[base('shuffled', 64), base('runs:40', 64)],
      ...[cell('lame', 'shuffled', 64, -0.5, { half: 2 }), cell('lame', 'runs:40', 64, 9)],
    ]);
    expect([method, lameScope]).toEqual(['lame', 'request']);
  });

  it('gives LAME to streams alone where it harms requests', () => {
    const { method, lameScope, fragment } = recommend([
      ...[1, 64].flatMap((batch) => [base('shuffled', batch), base('runs:40', batch)]),
      ...[cell('lame', 'shuffled', 1, -0.2), cell('lame', 'runs:40', 1, 8)],
      ...[cell('lame', 'shuffled', 64, -3), cell('lame', 'runs:40', 64, 5)],
    ]);
    expect([method, lameScope]).toEqual(['lame', 'stream']);
    expect(parse(fragment)).toEqual({ lame: { scope: 'stream' } });
  });

  it('writes the window that was measured', () => {
    const { fragment } = recommend([
      ...[base('shuffled', 64), base('runs:40', 64)],
      ...['lame', 'lame-auto', 'smoothing', 'prompt'].flatMap((method) => [
        cell(method, 'shuffled', 64, method === 'lame-auto' ? 0 : -4),
        cell(method, 'runs:40', 64, method === 'lame-auto' ? 6 : -4),
      ]),
    ]);
    expect(parse(fragment)).toEqual({
      lame: { scope: 'request', window: 'auto' },
      smoothing: { default: 'off' },
      prompt: { version: 'off' },
    });
  });

  it('does not switch on what harms one kind of traffic, however much it helps another', () => {
    const { method, traffic } = recommend([
      ...[base('shuffled', 64), base('sorted', 64), base('runs:40', 64)],
      ...[cell('lame', 'shuffled', 64, 0), cell('lame', 'sorted', 64, -6), cell('lame', 'runs:40', 64, 20)],
    ]);
    expect(method).toBe('base');
    expect(traffic.map((advice) => advice.method)).toEqual(['base', 'base', 'lame']);
  });

  it('means over conditions', () => {
    const { traffic } = recommend([
      ...[base('shuffled', 16), cell('smoothing', 'shuffled', 16, 0)],
      cell('smoothing', 'shuffled', 16, 6, { condition: 'fog:3' }),
    ]);
    expect(traffic[0].gain?.value).toBeCloseTo(0.03, 9);
    expect(traffic[0].gain?.low).toBeCloseTo(0.015, 9);
  });

  it('advises nothing where harm to shuffled clean traffic was not measured', () => {
    const { method, traffic } = recommend([base('runs:40', 64), cell('lame', 'runs:40', 64, 9)]);
    expect(method).toBe('base');
    expect(traffic[0].reason).toContain('was not measured; add clean');
  });

  it('relies on no gain without an interval', () => {
    const unsure = cell('lame', 'runs:40', 64, 20);
    const accuracy = { value: 0.2, low: null, high: null };
    const { method, traffic } = recommend([
      ...[base('shuffled', 64), base('runs:40', 64), cell('lame', 'shuffled', 64, 0)],
      { ...unsure, gain: { ...unsure.gain!, accuracy } },
    ]);
    expect([method, traffic[1].method]).toEqual(['base', 'base']);
    expect(traffic[1].reason).toContain('too few runs for an interval');
  });

  it('takes the better of two that help', () => {
    const { method } = recommend([
      ...[
        base('shuffled', 64),
        cell('smoothing', 'shuffled', 64, 3),
        cell('lame+smoothing', 'shuffled', 64, 5),
      ],
    ]);
    expect(method).toBe('lame+smoothing');
  });

  it('has nothing to say of the base model alone', () => {
    const { method, fragment, traffic, summary } = recommend([base('shuffled', 64)]);
    expect([method, fragment]).toEqual(['base', '']);
    expect(summary).toBe('Only the base model was measured.');
    expect(traffic[0].reason).toContain('nothing else was measured');
  });
});
