import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pcm16, wav } from '../fixtures/wav.js';
import { AudioDecoder } from '#ballast/runtime/audio/audio.js';
import { decodeWithFfmpeg, type FfmpegOptions } from '#ballast/runtime/audio/ffmpeg.js';

const PATH = process.env.PATH;
const isInstalled = spawnSync('ffmpeg', ['-version']).status === 0;
if (!isInstalled) console.warn('ffmpeg is not installed here: the tests that need a real one are skipped.');

const OPTIONS: FfmpegOptions = { sampleRate: 8_000, most: 8_000, name: 'audio[2]' };
const decoder = new AudioDecoder({ sampleRate: 8_000, samples: 100, features: 'waveform', mean: 0, std: 1 });
const decode = async (bytes: Uint8Array): Promise<Float32Array> => {
  const out = new Float32Array(decoder.sampleSize);
  await decoder.decode(bytes, out, 0, 'audio[2]');
  return out;
};

describe('without the real ffmpeg', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'ballast-ffmpeg-'));
    process.env.PATH = folder;
  });
  afterEach(async () => {
    process.env.PATH = PATH;
    await rm(folder, { recursive: true });
  });

  /** A program of that name: the body of a module of node. */
  const pretend = async (body: string): Promise<void> => {
    const file = path.join(folder, 'ffmpeg');
    await writeFile(file, `#!${process.execPath}\n${body}\n`);
    await chmod(file, 0o755);
  };
  const FLOATS = 'process.stdout.write(Buffer.from(new Float32Array([0.5, 3, NaN, -7]).buffer));';

  it.each([
    ['another format', Buffer.from('fLaC or so')],
    ['a WAV of another kind', wav({ tag: 0x11, bits: 4, data: pcm16([1, 2, 3]) })],
  ])('says that WAV is taken and ffmpeg would take %s', async (_, bytes) => {
    const refused = decode(bytes);
    await expect(refused).rejects.toMatchObject({ code: 'unsupported-media-type' });
    await expect(refused).rejects.toThrow(/audio\[2\] is no WAV.*Send WAV.*ffmpeg, which is not installed/);
  });

  it('still decodes WAV', async () => {
    expect((await decode(wav({ data: pcm16([16_384]) })))[0]).toBe(0.5);
  });

  it('hands the file over, whatever is read of it, and takes the samples', async () => {
    await pretend(FLOATS);
    expect([...(await decodeWithFfmpeg(new Uint8Array(1_000_000), OPTIONS))]).toEqual([0.5, 1, 0, -1]);
    await pretend(`process.stdin.resume().on('end', () => ${FLOATS.slice(0, -1)});`);
    expect((await decode(new Uint8Array(1_000_000))).slice(0, 5)).toEqual(Float32Array.of(0.5, 1, 0, -1, 0));
  });

  it('gives it neither this environment nor a protocol but its pipes', async () => {
    await pretend(`process.stderr.write(JSON.stringify([Object.keys(process.env), process.argv.slice(2)]))`);
    process.env.BALLAST_SECRET = 'secret';
    const refused = decodeWithFfmpeg(new Uint8Array(10), OPTIONS);
    await expect(refused).rejects.toThrow(/ffmpeg decoded no sound/);
    await expect(refused).rejects.toThrow(expect.not.stringContaining('BALLAST_SECRET') as string);
    await expect(refused).rejects.toThrow(/"-nostdin"/);
    delete process.env.BALLAST_SECRET;
  });

  it('takes no more than is wanted', async () => {
    await pretend('const write = () => process.stdout.write(Buffer.alloc(65536), write); write();');
    expect(await decodeWithFfmpeg(new Uint8Array(10), { ...OPTIONS, most: 50_000 })).toHaveLength(50_000);
  });

  it('kills what takes too long', async () => {
    await pretend('setInterval(() => {}, 1000);');
    const refused = decodeWithFfmpeg(new Uint8Array(10), { ...OPTIONS, timeLimitMs: 50 });
    await expect(refused).rejects.toMatchObject({ code: 'deadline-exceeded' });
    await expect(refused).rejects.toThrow(/audio\[2\] took ffmpeg more than 0.05 s/);
  });

  it('kills what is no longer wanted', async () => {
    await pretend('setInterval(() => {}, 1000);');
    const controller = new AbortController();
    const { signal } = controller;
    const refused = decodeWithFfmpeg(new Uint8Array(10), { ...OPTIONS, signal });
    controller.abort(new Error('gone'));
    await expect(refused).rejects.toThrow('gone');
    await expect(decodeWithFfmpeg(new Uint8Array(10), { ...OPTIONS, signal })).rejects.toThrow('gone');
  });

  it.each([
    ['pipe:0: Invalid data found when processing input', 'unsupported-media-type', /not a recording/],
    ["Stream map '0:a:0' matches no streams.", 'unsupported-media-type', /holds no sound/],
    ['[mov @ 0x1] moov atom not found', 'invalid-input', /faststart/],
    ['[x @ 0x1] it broke', 'invalid-input', /decoded no sound \(it broke\)/],
    ['', 'invalid-input', /decoded no sound\./],
  ])('says what ffmpeg means by "%s"', async (complaint, code, message) => {
    await pretend(`process.stderr.write(${JSON.stringify(complaint)}); process.exitCode = 1;`);
    const refused = decodeWithFfmpeg(new Uint8Array(10), OPTIONS);
    await expect(refused).rejects.toMatchObject({ code });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow('audio[2]');
  });
});

describe.skipIf(!isInstalled)('with the real ffmpeg', () => {
  const tone = Array.from({ length: 8_000 }, (_, i) => 16_384 * Math.sin((2 * Math.PI * 500 * i) / 8_000));
  const source = wav({ data: pcm16(tone) });
  const encode = (...options: string[]): Buffer =>
    spawnSync('ffmpeg', ['-loglevel', 'error', '-i', 'pipe:0', ...options, 'pipe:1'], { input: source })
      .stdout;

  it.each([
    ['FLAC', ['-f', 'flac'], 1e-4],
    ['AU', ['-f', 'au'], 1e-4],
    ['Matroska with PCM', ['-f', 'matroska', '-c:a', 'pcm_s16le'], 1e-4],
    ['WAV with ADPCM', ['-f', 'wav', '-c:a', 'adpcm_ms'], 0.1],
  ])('decodes %s', async (_, options, within) => {
    const samples = await decodeWithFfmpeg(encode(...options), OPTIONS);
    expect(samples.length).toBeGreaterThanOrEqual(7_990);
    // ADPCM takes a moment to find the step between samples.
    for (let i = 200; i < 7_900; i++) expect(Math.abs(samples[i] - tone[i] / 32_768)).toBeLessThan(within);
  });

  it('resamples and cuts', async () => {
    const samples = await decodeWithFfmpeg(encode('-f', 'flac', '-ar', '44100', '-ac', '2'), {
      ...OPTIONS,
      most: 4_000,
    });
    expect(samples).toHaveLength(4_000);
    expect(Math.abs(samples[2_004] - tone[2_004] / 32_768)).toBeLessThan(0.01);
  });

  it.each([
    ['no recording', Buffer.from('no sound in here'), 'unsupported-media-type'],
    [
      'a playlist of files',
      Buffer.from("ffconcat version 1.0\nfile '/etc/passwd'\n"),
      /invalid-input|unsupported-media-type/,
    ],
    [
      'a playlist of addresses',
      Buffer.from('#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n'),
      /invalid-input|unsupported-media-type/,
    ],
  ])('refuses %s', async (_, bytes, code) => {
    await expect(decodeWithFfmpeg(bytes, OPTIONS)).rejects.toMatchObject({
      code: code instanceof RegExp ? (expect.stringMatching(code) as string) : code,
    });
  });
});
