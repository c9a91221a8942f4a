import { describe, expect, it } from 'vitest';
import { gravest, spreadOf, verdictOf } from '#ballast/deepfake/verdict.js';

describe('verdictOf', () => {
  it('says fake from the threshold on where there is no band', () => {
    expect(verdictOf(0.5, { threshold: 0.5 })).toBe('fake');
    expect(verdictOf(0.4999, { threshold: 0.5 })).toBe('real');
  });

  it('is unsure from the lower bound up to the upper one', () => {
    const rules = { threshold: 0.5, unsure: [0.3, 0.7] } as const;
    expect([0.29, 0.3, 0.69, 0.7].map((score) => verdictOf(score, rules))).toEqual([
      'real',
      'unsure',
      'unsure',
      'fake',
    ]);
  });
});

describe('gravest', () => {
  it('puts fake before unsure before real before nothing', () => {
    expect(gravest(['real', 'fake', 'unsure'])).toBe('fake');
    expect(gravest(['real', 'no-face', 'unsure'])).toBe('unsure');
    expect(gravest(['no-face', 'real'])).toBe('real');
    expect(gravest([])).toBe('no-face');
  });
});

describe('spreadOf', () => {
  it('is the mean, with deviation and extremes', () => {
    const { mean, deviation, least, greatest } = spreadOf([0.2, 0.4, 0.9]);
    expect(mean).toBeCloseTo(0.5, 12);
    expect(deviation).toBeCloseTo(Math.sqrt((0.09 + 0.01 + 0.16) / 3), 12);
    expect([least, greatest]).toEqual([0.2, 0.9]);
  });

  it('has no deviation of one frame', () => {
    expect(spreadOf([0.7])).toEqual({ mean: 0.7, deviation: 0, least: 0.7, greatest: 0.7 });
  });
});
