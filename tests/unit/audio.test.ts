import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pcm16, wav } from '../fixtures/wav.js';
import { audioInputSchema } from '#ballast/pipeline/audio-config.js';
import { AudioDecoder } from '#ballast/runtime/audio/audio.js';

const fixtures = JSON.parse(readFileSync(new URL('../fixtures/audio.json', import.meta.url), 'utf8')) as {
  readonly waveform: readonly number[];
};

const decoder = (config: object): AudioDecoder =>
  new AudioDecoder(audioInputSchema.parse({ kind: 'audio', sampleRate: 8_000, ...config }));

async function decode(bytes: Uint8Array, config: object): Promise<Float32Array> {
  const made = decoder(config);
  const out = new Float32Array(made.sampleSize).fill(NaN);
  await made.decode(bytes, out, 0, 'audio[0]');
  return out;
}

const apart = (result: Float32Array, reference: readonly number[]): number =>
  reference.reduce((most, value, i) => Math.max(most, Math.abs(value - result[i])), 0);

describe('AudioDecoder', () => {
  it('gives the waveform, cut or followed by silence, normalised', async () => {
    const bytes = wav({ data: pcm16([16_384, -16_384, 8_192]) });
    const wave = { features: 'waveform' };
    expect([...(await decode(bytes, { ...wave, seconds: 2 / 8_000 }))]).toEqual([0.5, -0.5]);
    const config = { ...wave, seconds: 5 / 8_000, mean: 0.25, std: 0.5 };
    expect([...(await decode(bytes, config))]).toEqual([0.5, -1.5, 0, -0.5, -0.5]);
  });

  it('orders the axes as asked and keeps the frames that are wanted', async () => {
    const bytes = wav({ data: pcm16(fixtures.waveform) });
    const config = (features: object): object => ({
      seconds: 0.2,
      features: { kind: 'log-mel', ...features },
    });
    const plain = await decode(bytes, config({ layout: 'mels-frames' }));
    expect(await decode(bytes, config({}))).toEqual(plain);
    expect(decoder(config({})).sampleShape).toEqual([1, 64, 21]);
    const turned = await decode(bytes, config({ layout: 'frames-mels' }));
    const log = { kind: 'db', topDb: null };
    const five = await decode(bytes, config({ layout: 'mels-frames', frames: 5, log }));
    for (let mel = 0; mel < 64; mel++) {
      for (let frame = 0; frame < 21; frame++) {
        expect(turned[frame * 64 + mel]).toBe(plain[mel * 21 + frame]);
        if (frame < 5) expect(five[mel * 5 + frame]).toBeCloseTo(plain[mel * 21 + frame], 3);
      }
    }
  });

  it('writes a sample where it belongs and nothing beside it', async () => {
    const made = decoder({ seconds: 0.1, features: { kind: 'log-mel', nMels: 8 } });
    const size = made.sampleSize;
    const bytes = wav({ data: pcm16(fixtures.waveform) });
    const batch = new Float32Array(3 * size).fill(7);
    await made.decode(bytes, batch, size, 'audio[1]');
    expect(batch.subarray(0, size).every((value) => value === 7)).toBe(true);
    expect(batch.subarray(2 * size).every((value) => value === 7)).toBe(true);
    const alone = new Float32Array(size);
    await made.decode(bytes, alone, 0, 'audio[0]');
    expect(batch.slice(size, 2 * size)).toEqual(alone);
  });

  it('resamples what comes at another rate', async () => {
    const tone = (rate: number): Buffer =>
      pcm16(Array.from({ length: rate }, (_, i) => 16_384 * Math.sin((2 * Math.PI * 500 * i) / rate)));
    const wanted = await decode(wav({ data: tone(8_000) }), { seconds: 1, features: 'waveform' });
    const got = await decode(wav({ data: tone(44_100), rate: 44_100 }), { seconds: 1, features: 'waveform' });
    expect(apart(got.subarray(100, 7_900), [...wanted.subarray(100, 7_900)])).toBeLessThan(2e-3);
  });

  it('gives finite numbers of the right shape for any recording', async () => {
    const floats = fc.float32Array({ minLength: 1, maxLength: 300 });
    const config = fc.record({
      seconds: fc.constantFrom(0.001, 0.02, 0.1),
      features: fc.record({
        kind: fc.constant('log-mel' as const),
        nFft: fc.constantFrom(32, 100, 256),
        hopLength: fc.integer({ min: 1, max: 200 }),
        power: fc.constantFrom(1, 2),
        melScale: fc.constantFrom('slaney', 'htk'),
        norm: fc.constantFrom('slaney', 'none'),
        padMode: fc.constantFrom('reflect', 'constant'),
        log: fc.constantFrom({ kind: 'natural' }, { kind: 'db', ref: 'max' }, { kind: 'db', topDb: null }),
      }),
    });
    await fc.assert(
      fc.asyncProperty(floats, config, fc.integer({ min: 1, max: 50_000 }), async (values, format, rate) => {
        const bytes = wav({ tag: 3, bits: 32, rate, data: Buffer.from(values.buffer) });
        const frames = 1 + Math.floor((format.seconds * 8_000) / format.features.hopLength);
        const out = await decode(bytes, format);
        expect(out).toHaveLength(64 * frames);
        expect(out.every(Number.isFinite)).toBe(true);
      }),
    );
  });

  it('gives numbers for silence', async () => {
    const bytes = wav({ data: Buffer.alloc(2_000) });
    expect(new Set(await decode(bytes, { seconds: 0.2 }))).toEqual(new Set([-100]));
    const log = { kind: 'db', ref: 'max' };
    const loudest = await decode(bytes, { seconds: 0.2, features: { kind: 'log-mel', log } });
    expect(new Set(loudest)).toEqual(new Set([0]));
  });

  it('does not hold the event loop', async () => {
    const bytes = wav({ data: Buffer.alloc(60 * 48_000 * 4, 37), channels: 2, rate: 48_000 });
    const made = decoder({ seconds: 60 });
    const outs = [0, 1, 2].map(() => new Float32Array(made.sampleSize));
    const longest = async (): Promise<number> => {
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      await Promise.all(outs.map((out, i) => made.decode(bytes, out, 0, `audio[${i}]`)));
      delay.disable();
      return delay.max / 1e6;
    };
    // A turn takes 3 ms; what other processes take now and then, they do not take three times.
    const waits = [await longest(), await longest(), await longest()];
    expect(Math.min(...waits)).toBeLessThan(50);
  });

  it('stops where the answer is no longer wanted', async () => {
    const gone = AbortSignal.abort(new Error('gone'));
    const made = decoder({ seconds: 1 });
    const out = new Float32Array(made.sampleSize);
    await expect(made.decode(wav({ data: pcm16([1]) }), out, 0, 'audio[0]', gone)).rejects.toThrow('gone');
  });

  it('refuses an empty file', async () => {
    const refused = decode(Buffer.alloc(0), { seconds: 1 });
    await expect(refused).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(refused).rejects.toThrow('audio[0] is empty (0 bytes).');
  });
});

describe('audioInputSchema', () => {
  it.each([
    [8_000, 256, 80],
    [16_000, 512, 160],
    [44_100, 1_024, 441],
  ])('has defaults that suit %i Hz', (sampleRate, nFft, hopLength) => {
    const input = audioInputSchema.parse({ kind: 'audio', sampleRate, seconds: 2 });
    expect(input).toMatchObject({
      samples: 2 * sampleRate,
      features: { nFft, winLength: nFft, hopLength, nMels: 64, fMin: 0, fMax: sampleRate / 2 },
    });
  });

  it('takes the length from the frames where it is not given', () => {
    const features = { kind: 'log-mel', nFft: 400, hopLength: 160, frames: 3_000, layout: 'mels-frames' };
    const input = audioInputSchema.parse({ kind: 'audio', sampleRate: 16_000, features });
    expect(input.samples).toBe(480_000);
    expect(new AudioDecoder(input).sampleShape).toEqual([64, 3_000]);
    const bare = { kind: 'audio', sampleRate: 16_000, features: { ...features, center: false } };
    expect(audioInputSchema.parse(bare).samples).toBe(2_999 * 160 + 400);
  });

  it.each([
    [{}, /how long a sample is/],
    [{ features: 'waveform' }, /how long a sample is/],
    [{ seconds: 1, features: { kind: 'log-mel', frames: 102 } }, /at most 101/],
    [{ seconds: 1, features: { kind: 'log-mel', fMax: 5_000 } }, /at most half of sampleRate, 4000 Hz/],
    [{ seconds: 1, features: { kind: 'log-mel', fMin: 4_000 } }, /less than fMax/],
    [{ seconds: 1, features: { kind: 'log-mel', winLength: 300 } }, /at most nFft, which is 256/],
    [{ seconds: 0.01, features: { kind: 'log-mel', center: false } }, /at least 0.032/],
    [{ seconds: 300, features: { kind: 'log-mel', hopLength: 1, nMels: 512 } }, /values a sample/],
    [{ seconds: 1, mels: 3 }, /mels/],
    [{ seconds: 1, features: 'mfcc' }, /waveform, or \{ kind: log-mel \}/],
    [{ seconds: 1, features: { kind: 'log-mel', nFft: 'many' } }, /"nFft"/],
  ])('refuses %j', (config, message) => {
    expect(() => audioInputSchema.parse({ kind: 'audio', sampleRate: 8_000, ...config })).toThrow(message);
  });
});
