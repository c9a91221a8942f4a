import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasFfmpeg, processesWith, VideoSamples } from './video-samples.js';
import { DEFAULT_VIDEO_LIMITS } from '#ballast/deepfake/video-limits.js';
import {
  frameIndices,
  videoFrames,
  type VideoFrame,
  type VideoFramesOptions,
} from '#ballast/deepfake/video-frames.js';
import { PpmReader } from '#ballast/deepfake/video-pictures.js';
import { probeVideo } from '#ballast/deepfake/video-probe.js';

describe('the frames that are chosen', () => {
  it.each([
    [10, 4, [0, 3, 6, 9]],
    [300, 5, [0, 75, 150, 224, 299]],
    [3, 32, [0, 1, 2]],
    [1, 32, [0]],
    [100, 1, [0]],
    [100, 2, [0, 99]],
  ])('of %i, %i are wanted', (frames, count, expected) => {
    expect(frameIndices(frames, count)).toEqual(expected);
  });
});

describe('pictures from a stream', () => {
  const ppm = (width: number, height: number, first: number): Buffer =>
    Buffer.concat([
      Buffer.from(`P6\n${width} ${height}\n255\n`),
      Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => (first + i) & 255)),
    ]);
  const whole = Buffer.concat([ppm(2, 3, 80), ppm(4, 1, 10)]);

  it.each([1, 2, 7, 19, 1000])('are taken however it is cut: %i bytes at a time', async (size) => {
    const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
      whole.subarray(i * size, (i + 1) * size),
    );
    const reader = new PpmReader(Readable.from(pieces), 18);
    expect(await reader.next()).toEqual({
      width: 2,
      height: 3,
      data: new Uint8Array(ppm(2, 3, 80).subarray(-18)),
    });
    expect(await reader.next()).toEqual({
      width: 4,
      height: 1,
      data: new Uint8Array(ppm(4, 1, 10).subarray(-12)),
    });
    expect(await reader.next()).toBeUndefined();
  });

  it('are not taken where they are cut short, too big, or none', async () => {
    expect(await new PpmReader(Readable.from([whole.subarray(0, 20)]), 18).next()).toBeUndefined();
    await expect(new PpmReader(Readable.from([whole]), 17).next()).rejects.toThrow(/2 × 3/);
    await expect(new PpmReader(Readable.from([Buffer.alloc(50)]), 17).next()).rejects.toThrow(/no PPM/);
  });
});

describe.skipIf(!hasFfmpeg)('the frames of a video', () => {
  const samples = new VideoSamples();
  const made = samples.at('made.mp4');
  beforeAll(() => {
    samples.moving('made.mp4', '96x64', '30', 4, '-c:v', 'libx264', '-g', '40', '-bf', '3');
  });
  afterEach(() => {
    expect(processesWith(made)).toEqual([]);
  });
  afterAll(() => {
    samples.remove();
  });

  const read = async (
    file: string,
    options: VideoFramesOptions = {},
  ): Promise<{ frames: VideoFrame[]; missing: number }> => {
    const generator = videoFrames(file, await probeVideo(file), options);
    const frames: VideoFrame[] = [];
    for (;;) {
      const { value, done } = await generator.next();
      if (done === true) return { frames, missing: value.missing };
      frames.push(value);
    }
  };

  it.each([
    ['H.264 in MP4', 'a.mp4', ['-c:v', 'libx264', '-g', '40', '-bf', '3']],
    ['VP9 in WebM', 'a.webm', ['-c:v', 'libvpx-vp9', '-cpu-used', '8', '-deadline', 'realtime']],
    ['MPEG-4 in AVI', 'a.avi', ['-c:v', 'mpeg4', '-bf', '2']],
    ['MPEG-2 in MPEG-TS', 'a.ts', ['-c:v', 'mpeg2video', '-g', '40']],
    ['Theora in Ogg', 'a.ogv', ['-c:v', 'libtheora', '-g', '40']],
  ])('are the same whether it is read through or sought in: %s', async (_, name, options) => {
    const file = samples.moving(name, '96x64', '30000/1001', 4, ...options);
    const through = await read(file, { count: 4, reach: 'select' });
    const sought = await read(file, { count: 4, reach: 'seek' });
    expect(through.missing).toBe(0);
    expect(through.frames.map(({ index }) => index)).toEqual([0, 40, 79, 119]);
    for (const { index, seconds } of through.frames) {
      // Times of WebM are whole milliseconds; AVI has none, and the codec's delay of a frame shows.
      expect(Math.abs(seconds - (index * 1001) / 30000)).toBeLessThan(name === 'a.avi' ? 0.04 : 0.001);
    }
    expect(new Set(through.frames.map(({ data }) => Buffer.from(data).toString('base64'))).size).toBe(4);
    expect(sought).toEqual(through);
  });

  it('show what the video shows', async () => {
    const halves =
      'color=red:size=64x48:rate=10:duration=1[a];color=blue:size=64x48:rate=10:duration=1[b];[a][b]concat';
    const file = samples.make('halves.mp4', '-filter_complex', halves, '-c:v', 'mpeg4', '-q:v', '2');
    const { frames } = await read(file, { count: 4 });
    const red = frames.map(({ data }) => data[0] > 200 && data[2] < 60);
    const blue = frames.map(({ data }) => data.at(-3)! < 60 && data.at(-1)! > 200);
    expect([red, blue]).toEqual([
      [true, true, false, false],
      [false, false, true, true],
    ]);
    expect(frames[0].data).toHaveLength(64 * 48 * 3);
  });

  it('are scaled down in their shape, never up', async () => {
    const { frames } = await read(made, { count: 1, maxSide: 48 });
    expect(frames[0]).toMatchObject({ width: 48, height: 32 });
    expect((await read(made, { count: 1, maxSide: 8192 })).frames[0]).toMatchObject({
      width: 96,
      height: 64,
    });
    const wide = samples.moving('wide.mp4', '64x48', '5', 1, '-vf', 'setsar=2', '-c:v', 'mpeg4');
    expect((await read(wide, { count: 1 })).frames[0]).toMatchObject({ width: 128, height: 48 });
  });

  it('are counted on where their size changes in midstream', async () => {
    const parts = ['96x64', '48x80'].map((size, i) =>
      readFileSync(samples.moving(`${i}.h264`, size, '30', 1, '-c:v', 'libx264', '-bf', '0')),
    );
    const raw = samples.write('both.h264', Buffer.concat(parts));
    const file = samples.make('both.mp4', '-r', '30', '-i', raw, '-c', 'copy');
    const { frames, missing } = await read(file, { count: 5, reach: 'select' });
    expect(missing).toBe(0);
    expect(frames.map(({ width, height }) => `${width}x${height}`)).toEqual(Array(5).fill('96x64'));
    expect(frames.map(({ seconds }) => Math.round(seconds * 30))).toEqual(frames.map(({ index }) => index));
  });

  it.each(['select', 'seek'] as const)('that cannot be read are counted: %s', async (reach) => {
    const file = samples.make('fast.mp4', '-i', made, '-c', 'copy', '-movflags', '+faststart');
    const bytes = readFileSync(file);
    const cut = samples.write('half.mp4', bytes.subarray(0, bytes.length * 0.6));
    const { frames, missing } = await read(cut, { count: 6, reach });
    expect(frames.length).toBeGreaterThan(1);
    expect(frames.length + missing).toBe(6);
    expect(missing).toBeGreaterThan(1);
  });

  it('are an error where not one can be read', async () => {
    const bytes = readFileSync(samples.at('fast.mp4'));
    bytes.fill(0, bytes.indexOf('mdat') + 4);
    const file = samples.write('zeros.mp4', bytes);
    const info = await probeVideo(made);
    for (const reach of ['select', 'seek'] as const) {
      await expect(videoFrames(file, info, { count: 2, reach }).next()).rejects.toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(/not one frame of its h264 track/) as string,
      });
    }
  });

  it.each(['select', 'seek'] as const)(
    'leave no process behind where the consumer stops: %s',
    async (reach) => {
      let seen = 0;
      for await (const frame of videoFrames(made, await probeVideo(made), { reach, count: 60 })) {
        expect(frame.index).toBe(seen === 0 ? 0 : 2);
        if (seen++ === 1) break;
      }
      expect(seen).toBe(2);
      expect(processesWith(made)).toEqual([]);
    },
  );

  it('leave no process behind where the request is gone', async () => {
    const controller = new AbortController();
    const big = samples.moving('big.mp4', '640x360', '30', 4, '-c:v', 'mpeg4');
    const frames = videoFrames(big, await probeVideo(big), { count: 100 }, undefined, controller.signal);
    await frames.next();
    // What was not taken holds ffmpeg up.
    await sleep(100);
    expect(processesWith(big)).toHaveLength(process.platform === 'linux' ? 1 : 0);
    controller.abort(new Error('gone'));
    await expect(frames.next()).rejects.toThrow('gone');
    expect(processesWith(big)).toEqual([]);
  });

  it('leave no process behind where they take too long', async () => {
    const info = await probeVideo(made);
    const limits = { ...DEFAULT_VIDEO_LIMITS, timeoutMs: 1 };
    await expect(videoFrames(made, info, {}, limits).next()).rejects.toMatchObject({
      code: 'deadline-exceeded',
    });
  });

  it.each([{ count: 0 }, { count: 1.5 }, { count: 5000 }, { maxSide: 1 }, { maxSide: NaN }])(
    'are refused with %o',
    async (options) => {
      const info = await probeVideo(made);
      await expect(videoFrames(made, info, options).next()).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );
});
