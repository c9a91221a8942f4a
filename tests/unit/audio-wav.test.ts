import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunk, format, pcm16, riff, wav, type WavParts } from '../fixtures/wav.js';
import { BallastError } from '#ballast/errors.js';
import { decodeWav, MAX_AUDIO_SAMPLES } from '#ballast/runtime/audio/wav.js';

const VALUES = [0, 1, -1, 0.5, -0.25, 0.75];

/** Values in [-1, 1] as whole numbers of so many bits. */
const encode = (bits: number, values = VALUES): Buffer => {
  const bytes = bits / 8;
  const out = Buffer.alloc(values.length * bytes);
  const top = 2 ** (bits - 1);
  values.forEach((value, i) => {
    const level = Math.min(top - 1, Math.round(value * top));
    if (bits === 8) out.writeUInt8(level + 128, i);
    else out.writeIntLE(level, i * bytes, bytes);
  });
  return out;
};
const float = (array: Float32Array | Float64Array): Buffer => Buffer.from(array.buffer);
const decoded = async (parts: WavParts): Promise<number[]> => [
  ...(await decodeWav(wav(parts), 'audio[0]')).samples,
];

describe('decodeWav', () => {
  it.each([
    [8, false],
    [16, false],
    [24, false],
    [32, false],
    [16, true],
    [24, true],
  ])('reads PCM of %i bits (extensible: %s)', async (bits, extensible) => {
    const top = 2 ** (bits - 1);
    const exact = VALUES.map((value) => Math.fround(Math.min(top - 1, value * top) / top));
    expect(await decoded({ data: encode(bits), bits, extensible })).toEqual(exact);
  });

  it.each([false, true])('reads IEEE floats (extensible: %s)', async (extensible) => {
    const values = [0, 1, -1, 0.1, -0.3];
    const exact = values.map(Math.fround);
    const parts = { tag: 3, extensible };
    expect(await decoded({ ...parts, bits: 32, data: float(Float32Array.from(values)) })).toEqual(exact);
    expect(await decoded({ ...parts, bits: 64, data: float(Float64Array.from(values)) })).toEqual(exact);
  });

  it('clips floats and takes what is no number for silence', async () => {
    const data = float(Float32Array.of(3, -3, Infinity, -Infinity, NaN));
    expect(await decoded({ tag: 3, bits: 32, data })).toEqual([1, -1, 1, -1, 0]);
  });

  it('reads A-law and µ-law', async () => {
    // The tables of ITU-T G.711, at their ends and in between.
    const scaled = (levels: number[]): number[] => levels.map((level) => level / 32_768);
    const bytes = Uint8Array.of(0x00, 0x80, 0x2a, 0xaa, 0x55, 0xd5, 0x1b);
    expect(await decoded({ tag: 6, bits: 8, data: bytes })).toEqual(
      scaled([-5504, 5504, -32256, 32256, -8, 8, -3904]),
    );
    expect(await decoded({ tag: 7, bits: 8, data: Uint8Array.of(0, 0x80, 0x7f, 0xff, 0x5b) })).toEqual(
      scaled([-32124, 32124, 0, 0, -524]),
    );
  });

  it('takes the mean of the channels, at any rate', async () => {
    const data = pcm16([100, 300, -500, 100, 32767, 32767]);
    const { samples, sampleRate } = await decodeWav(wav({ data, channels: 2, rate: 44_100 }), 'audio[0]');
    expect(sampleRate).toBe(44_100);
    expect([...samples].map((value) => value * 32_768)).toEqual([200, -200, 32767]);
  });

  it('reads chunks in any order, of odd sizes, beside others', async () => {
    const odd = chunk('LIST', Buffer.from('INFO!'));
    const data = chunk('data', encode(8, [0.5, 0, -0.5]));
    for (const chunks of [
      [odd, format({ bits: 8 }), odd, data, odd],
      [data, odd, format({ bits: 8 })],
    ]) {
      expect([...(await decodeWav(riff(chunks), 'audio[0]')).samples]).toEqual([0.5, 0, -0.5]);
    }
  });

  it.each([0xffff_ffff, 0x7fff_ffff])('reads what was written to a pipe (size %i)', async (size) => {
    expect(await decoded({ data: pcm16([16384, -16384]), size })).toEqual([0.5, -0.5]);
  });

  it('reads RF64', async () => {
    const sizes = Buffer.alloc(28);
    sizes.writeBigUInt64LE(4n, 8);
    const parts = { form: 'RF64', first: [chunk('ds64', sizes)], size: 0xffff_ffff };
    expect(await decoded({ ...parts, data: pcm16([16384, -16384, 1, 2]) })).toEqual([0.5, -0.5]);
  });

  it('reads no more than is wanted', async () => {
    const { samples } = await decodeWav(wav({ data: pcm16([16384, 2, 3]) }), 'audio[0]', 1);
    expect([...samples]).toEqual([0.5]);
  });

  const whole = wav({ data: pcm16(new Array<number>(50).fill(7)) });
  it.each<[string, Buffer, string, RegExp]>([
    ['nothing', Buffer.alloc(0), 'unsupported-media-type', /not a WAV/],
    ['another file', Buffer.from('no sound in here'), 'unsupported-media-type', /not a WAV/],
    ['ADPCM', wav({ tag: 0x11, bits: 4, data: whole }), 'unsupported-media-type', /0x0011 \(4 bits\)/],
    [
      'a file cut in its samples',
      whole.subarray(0, 84),
      'invalid-input',
      /100 bytes.* 40 are.* 60 are missing/,
    ],
    [
      'a file cut before its samples',
      whole.subarray(0, 38),
      'invalid-input',
      /data chunk: 106 of 144 bytes are missing/,
    ],
    ['a file cut in its format', whole.subarray(0, 30), 'invalid-input', /fmt chunk has 10 bytes/],
    ['a file without data', riff([format({})]), 'invalid-input', /no data chunk/],
    ['a file without format', riff([chunk('data', pcm16([1]))]), 'invalid-input', /no fmt chunk/],
    ['no samples', wav({ data: Buffer.alloc(0) }), 'invalid-input', /no samples/],
    ['a size that lies', wav({ data: pcm16([1, 2]), size: 5_000 }), 'invalid-input', /4996 are missing/],
    ['0 channels', wav({ data: pcm16([1]), channels: 0 }), 'invalid-input', /0 channels/],
    ['a rate of 0', wav({ data: pcm16([1]), rate: 0 }), 'invalid-input', /rate of 0 Hz/],
    ['an absurd rate', wav({ data: pcm16([1]), rate: 4e9 }), 'invalid-input', /4000000000 Hz/],
  ])('refuses %s and names it', async (_, bytes, code, message) => {
    const refused = decodeWav(bytes, 'audio[3]');
    await expect(refused).rejects.toMatchObject({ code });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow('audio[3]');
  });

  it('refuses a frame size that contradicts the channels', async () => {
    const bytes = wav({ data: pcm16([1, 2]) });
    bytes.writeUInt16LE(3, 32);
    await expect(decodeWav(bytes, 'audio[0]')).rejects.toThrow(/frame has 3 bytes.* have 2/);
  });

  it('refuses what is too long, but not its beginning', async () => {
    const bytes = wav({ bits: 8, data: Buffer.alloc(MAX_AUDIO_SAMPLES + 1, 128) });
    const refused = decodeWav(bytes, 'audio[3]');
    await expect(refused).rejects.toMatchObject({ code: 'too-large' });
    await expect(refused).rejects.toThrow(/^audio\[3\] has 67108865 samples, 67108864 is the most/);
    expect((await decodeWav(bytes, 'audio[3]', 5)).samples).toHaveLength(5);
  });

  it('answers any bytes with samples in [-1, 1] or an error of its own', async () => {
    const noise = fc.uint8Array({ minLength: 0, maxLength: 200 });
    const broken = fc
      .tuple(noise, fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }), fc.nat(260))
      .map(([data, changes, length]) => {
        const bytes = wav({ data });
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes.subarray(0, length);
      });
    await fc.assert(
      fc.asyncProperty(fc.oneof(noise, broken), async (bytes) => {
        try {
          const { samples } = await decodeWav(bytes, 'audio[0]');
          expect(samples.every((value) => value >= -1 && value <= 1)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(BallastError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
