import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RealFft } from '#ballast/runtime/audio/fft.js';
import { LogMel, type LogMelFormat } from '#ballast/runtime/audio/log-mel.js';

type Numbers = Omit<LogMelFormat, 'layout'>;

interface Reference {
  readonly name: string;
  readonly format: Numbers;
  readonly frames: number;
  readonly output: readonly number[];
}

const fixtures = JSON.parse(readFileSync(new URL('../fixtures/audio.json', import.meta.url), 'utf8')) as {
  readonly waveform: readonly number[];
  readonly spectrograms: readonly Reference[];
};
const WAVEFORM = Float32Array.from(fixtures.waveform, (level) => level / 32_768);

const apart = (result: Float32Array, reference: readonly number[]): number =>
  reference.reduce((most, value, i) => Math.max(most, Math.abs(value - result[i])), 0);

describe('RealFft', () => {
  it.each([1, 2, 3, 4, 9, 16, 30, 49, 250, 257, 400])('is a Fourier transform of %i values', (size) => {
    const fft = new RealFft(size);
    const frame = Float64Array.from({ length: size }, (_, i) => Math.sin(i * i + 1));
    const power = new Float64Array(fft.bins);
    fft.power(frame, power);
    power.forEach((value, bin) => {
      let [re, im] = [0, 0];
      frame.forEach((x, i) => {
        re += x * Math.cos((2 * Math.PI * bin * i) / size);
        im += x * Math.sin((2 * Math.PI * bin * i) / size);
      });
      expect(value).toBeCloseTo(re * re + im * im, 8);
    });
  });
});

describe('LogMel', () => {
  it.each(fixtures.spectrograms)('is what librosa and torchaudio document: $name', async (reference) => {
    const { format, frames, output } = reference;
    const logMel = new LogMel({ ...format, layout: 'mels-frames' }, 8_000, WAVEFORM.length);
    expect(logMel.shape).toEqual([format.nMels, frames]);
    const out = new Float32Array(output.length);
    await logMel.compute(WAVEFORM, out, 0);
    expect(apart(out, output)).toBeLessThan(1e-4);
  });

  it('refuses what contradicts itself', () => {
    const format = { ...fixtures.spectrograms[0].format, layout: 'mels-frames' } as const;
    expect(() => new LogMel({ ...format, frames: 9 }, 8_000, 400)).toThrow(/400 samples give 6 frames/);
    expect(() => new LogMel({ ...format, winLength: 300 }, 8_000, 400)).toThrow(/300 is longer/);
    expect(() => new LogMel({ ...format, fMin: 4_000 }, 8_000, 400)).toThrow(/not below/);
    expect(() => new LogMel({ ...format, center: false }, 8_000, 100)).toThrow(/0 frames/);
  });
});
