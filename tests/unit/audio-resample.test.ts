import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inputFor, resample } from '#ballast/runtime/audio/resample.js';

interface Reference {
  readonly from: number;
  readonly to: number;
  readonly input: readonly number[];
  readonly output: readonly number[];
}

const { resampled } = JSON.parse(
  readFileSync(new URL('../fixtures/audio.json', import.meta.url), 'utf8'),
) as { readonly resampled: readonly Reference[] };

const tone = (hz: number, rate: number, samples: number): Float32Array =>
  Float32Array.from({ length: samples }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));

/** The amplitude of one frequency, in the middle of a waveform. */
function amplitude(wave: Float32Array, hz: number, rate: number): number {
  const middle = wave.subarray(Math.floor(wave.length / 4), Math.floor((3 * wave.length) / 4));
  let [re, im] = [0, 0];
  middle.forEach((value, i) => {
    re += value * Math.cos((2 * Math.PI * hz * i) / rate);
    im += value * Math.sin((2 * Math.PI * hz * i) / rate);
  });
  return (2 * Math.hypot(re, im)) / middle.length;
}

describe('resample', () => {
  it.each(resampled)('is what torchaudio documents, from $from to $to Hz', async (reference) => {
    const { from, to, input, output } = reference;
    const result = await resample(
      Float32Array.from(input, (value) => value / 32_768),
      from,
      to,
    );
    expect(result).toHaveLength(output.length);
    const apart = Math.max(...output.map((value, i) => Math.abs(value - result[i])));
    expect(apart).toBeLessThan(1e-6);
  });

  it.each([
    [48_000, 8_000],
    [44_100, 16_000],
    [8_000, 16_000],
    [11_025, 48_000],
    [44_100, 44_101],
  ])('keeps the frequency and the amplitude of a tone, from %i to %i Hz', async (from, to) => {
    const result = await resample(tone(1_000, from, from), from, to);
    expect(amplitude(result, 1_000, to)).toBeCloseTo(1, 2);
    const rest = result.map((value, i) => value - Math.sin((2 * Math.PI * 1_000 * i) / to));
    const middle = rest.subarray(to >> 2, to >> 1);
    expect(Math.max(...middle.map(Math.abs))).toBeLessThan(0.01);
  });

  it('lets nothing through above half of the new rate', async () => {
    for (const hz of [5_500, 7_000, 12_345, 20_000]) {
      const result = await resample(tone(hz, 48_000, 24_000), 48_000, 8_000);
      const middle = result.subarray(500, 3_500);
      expect(Math.max(...middle.map(Math.abs))).toBeLessThan(0.01);
    }
  });

  it('gives ceil(n * to / from) samples, of finite numbers, for any rates', async () => {
    const rate = fc.integer({ min: 1, max: 50_000 });
    await fc.assert(
      fc.asyncProperty(fc.nat(40), rate, rate, async (n, from, to) => {
        const result = await resample(new Float32Array(n).fill(1), from, to, 5_000);
        expect(result).toHaveLength(Math.min(5_000, Math.ceil((n * to) / from)));
        expect(result.every((value) => Math.abs(value) < 2)).toBe(true);
      }),
    );
  });

  it('computes the beginning of an output from the beginning of an input', async () => {
    const wave = tone(300, 44_100, 44_100);
    for (const [from, to] of [
      [44_100, 16_000],
      [44_100, 48_000],
    ]) {
      const whole = await resample(wave, from, to);
      const part = await resample(wave.subarray(0, inputFor(1_000, from, to)), from, to, 1_000);
      expect(part).toEqual(whole.subarray(0, 1_000));
    }
  });

  it('refuses what is no rate', async () => {
    for (const rate of [0, -1, 1.5, NaN]) {
      await expect(resample(new Float32Array(3), rate, 8_000)).rejects.toThrow(/no sample rate/);
    }
  });
});
