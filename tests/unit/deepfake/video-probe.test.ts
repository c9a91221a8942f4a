import { chmodSync, readFileSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { hasFfmpeg, processesWith, VideoSamples } from './video-samples.js';
import { videoAvailable } from '#ballast/deepfake/video-available.js';
import { DEFAULT_VIDEO_LIMITS } from '#ballast/deepfake/video-limits.js';
import { probeVideo } from '#ballast/deepfake/video-probe.js';

const samples = new VideoSamples();
afterAll(() => {
  samples.remove();
});

const refusal = async (file: string, limits = DEFAULT_VIDEO_LIMITS): Promise<string> =>
  probeVideo(file, limits).then(
    () => 'taken',
    (error: unknown) => `${(error as { code: string }).code}: ${(error as Error).message}`,
  );

describe.skipIf(!hasFfmpeg)('probing a video', () => {
  beforeAll(() => {
    samples.moving('made.mp4', '64x48', '30', 2, '-c:v', 'libx264', '-g', '15');
  });

  it.each([
    ['MP4', 'a.mp4', ['-c:v', 'libx264'], { codec: 'h264' }],
    ['fragmented MP4', 'f.mp4', ['-c:v', 'libx264', '-movflags', 'frag_keyframe+empty_moov'], {}],
    ['WebM', 'a.webm', ['-c:v', 'libvpx-vp9', '-cpu-used', '8'], { codec: 'vp9' }],
    ['AVI', 'a.avi', ['-c:v', 'mpeg4', '-bf', '2'], { codec: 'mpeg4', format: 'avi' }],
    ['MPEG-TS', 'a.ts', ['-c:v', 'mpeg2video'], { codec: 'mpeg2video', format: 'mpegts' }],
    ['FLV', 'a.flv', ['-c:v', 'flv'], { format: 'flv' }],
    ['Ogg', 'a.ogv', ['-c:v', 'libtheora'], { codec: 'theora', format: 'ogg' }],
  ])('knows the extent of %s', async (_, name, options, expected) => {
    const info = await probeVideo(samples.moving(name, '64x48', '25', 2, ...options));
    expect(info).toMatchObject({ frames: 50, width: 64, height: 48, startSeconds: 0, ...expected });
    expect(info.framesPerSecond).toBeCloseTo(25, 6);
    expect(info.seconds).toBeCloseTo(2, 1);
  });

  it('counts where the header says neither how long it is nor how many frames it has', async () => {
    const file = samples.moving('live.mkv', '64x48', '25', 2, '-c:v', 'mpeg4', '-live', '1');
    const info = await probeVideo(file);
    expect(info.frames).toBe(50);
    expect(info.seconds).toBeCloseTo(2, 2);
  });

  it('gives the size as it is shown', async () => {
    const turned = samples.make(
      'turned.mp4',
      '-i',
      samples.at('made.mp4'),
      '-c',
      'copy',
      '-metadata:s:v',
      'rotate=90',
    );
    const info = await probeVideo(turned);
    // Later versions of ffmpeg write no rotation by this tag; then there is none to obey.
    expect([`48x64`, `64x48`]).toContain(`${info.width}x${info.height}`);
    const wide = samples.moving('wide.mp4', '64x48', '5', 1, '-vf', 'setsar=2', '-c:v', 'mpeg4');
    expect(await probeVideo(wide)).toMatchObject({ width: 128, height: 48 });
  });

  it('refuses what is neither video nor sound', async () => {
    const noise = Uint8Array.from({ length: 5000 }, (_, i) => (i * i * 31 + i * 7) & 0xff);
    expect(await refusal(samples.write('noise', noise))).toMatch(/^unsupported-media-type: .*no video/);
    expect(await refusal(samples.write('text', 'Good morning.\n'))).toMatch(/^unsupported-media-type/);
  });

  it('refuses sound, with a cover or without', async () => {
    const tone = ['-f', 'lavfi', '-i', 'sine=duration=1'];
    const cover = ['-f', 'lavfi', '-i', 'testsrc=size=64x64:duration=1:rate=1', '-map', '0', '-map', '1'];
    const picture = [...cover, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', '-disposition:v', 'attached_pic'];
    for (const file of [
      samples.make('tone.wav', ...tone),
      samples.make('cover.mp3', ...tone, ...picture),
      samples.make('cover.m4a', ...tone, ...picture),
    ]) {
      expect(await refusal(file)).toMatch(/^unsupported-media-type: .*sound and no video track/);
    }
  });

  it('refuses what is empty', async () => {
    expect(await refusal(samples.write('empty.mp4', ''))).toMatch(/^invalid-input: .*0 bytes/);
    const still = samples.make('still.mkv', '-i', samples.at('made.mp4'), '-frames:v', '0', '-c', 'copy');
    expect(await refusal(still)).toMatch(/^invalid-input: .*before its first frame/);
    const sound = ['-i', samples.at('made.mp4'), '-f', 'lavfi', '-i', 'sine=duration=1'];
    const none = samples.make('none.avi', ...sound, '-frames:v', '0', '-c:v', 'copy');
    expect(await refusal(none)).toMatch(/^impossible: .*no frames/);
  });

  it('refuses four hours', async () => {
    const slow = ['-f', 'lavfi', '-i', 'color=size=16x16:rate=1/600:duration=14400', '-c:v', 'mpeg4'];
    const hours = samples.make('hours.mkv', ...slow);
    expect(await refusal(hours)).toMatch(/^too-large: .*lasts 14400 s, more than the 3600 s/);
    const live = samples.make('hours-live.mkv', ...slow, '-live', '1');
    expect(await refusal(live)).toMatch(/^too-large: .*more than the 3600 s/);
  });

  it('refuses a small file of huge frames without decoding them', async () => {
    const huge = ['-f', 'lavfi', '-i', 'color=black:size=8000x8000:rate=1:duration=1', '-pix_fmt', 'gray'];
    const file = samples.make('huge.mov', ...huge, '-c:v', 'png');
    expect(await refusal(file)).toMatch(/^too-large: .*8000 × 8000 pixels/);
    const bytes = readFileSync(file);
    const sizes = [bytes.indexOf('IHDR') + 4, bytes.indexOf('png ', bytes.indexOf('stsd')) + 28];
    bytes.writeUInt32BE(30_000, sizes[0]);
    bytes.writeUInt32BE(30_000, sizes[0] + 4);
    bytes.writeUInt16BE(30_000, sizes[1]);
    bytes.writeUInt16BE(30_000, sizes[1] + 2);
    expect(await refusal(samples.write('bomb.mov', bytes))).toMatch(/^too-large: .*30000 × 30000 pixels/);
    const small = { ...DEFAULT_VIDEO_LIMITS, maxPixels: 64 * 48 - 1 };
    expect(await refusal(samples.at('made.mp4'), small)).toMatch(/^too-large: .*64 × 48 pixels/);
  });

  it('refuses a video whose index is cut off', async () => {
    const bytes = readFileSync(samples.at('made.mp4'));
    const cut = samples.write('cut.mp4', bytes);
    truncateSync(cut, bytes.lastIndexOf('moov') - 4);
    expect(await refusal(cut)).toMatch(/^invalid-input: .*cut short/);
  });

  it.each([
    [
      'a playlist',
      (file: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://${file}\n#EXT-X-ENDLIST\n`,
    ],
    [
      'a concat script',
      (file: string) => `ffconcat version 1.0\nfile '${path.basename(file)}'\nfile '${file}'\n`,
    ],
    [
      'a session description',
      () => 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n',
    ],
  ])('opens nothing that %s names', async (_, content) => {
    for (const name of ['upload', 'upload.m3u8', 'upload.ffconcat', 'upload.sdp', 'upload%03d.mp4']) {
      const file = samples.write(name, content(samples.at('made.mp4')));
      expect(await refusal(file)).toMatch(/^unsupported-media-type: .*no video/);
    }
  });

  it('goes by what is in the file, whatever it is called', async () => {
    const bytes = readFileSync(samples.at('made.mp4'));
    for (const name of ['upload', 'video.txt', 'concat:a|b', 'frame%03d.mp4']) {
      expect(await probeVideo(samples.write(name, bytes))).toMatchObject({ frames: 60, codec: 'h264' });
    }
    samples.write('picture001.png', bytes);
    expect(await refusal(samples.write('picture%03d.png', bytes))).toMatch(/^unsupported-media-type/);
  });

  it('is ended by its signal', async () => {
    const gone = probeVideo(samples.at('made.mp4'), undefined, AbortSignal.timeout(1));
    await expect(gone).rejects.toThrow(/timeout/);
    await expect(probeVideo('nowhere', undefined, AbortSignal.abort(new Error('gone')))).rejects.toThrow(
      'gone',
    );
    expect(processesWith(samples.at('made.mp4'))).toEqual([]);
  });

  it('tells the version of what it found', async () => {
    expect((await videoAvailable())?.ffmpeg).toMatch(/\d/);
  });
});

describe('without the real ffprobe', () => {
  beforeEach(() => {
    vi.stubEnv('PATH', samples.folder);
    return () => vi.unstubAllEnvs();
  });

  it('says that ffmpeg is missing', async () => {
    vi.stubEnv('PATH', samples.at('nowhere'));
    expect(await videoAvailable()).toBeUndefined();
    expect(await refusal('x.mp4')).toMatch(/^unavailable: .*not installed on this server: install ffmpeg/);
  });

  it('kills one that takes too long', async () => {
    const body = `if (process.argv[2] === '-version') console.log('ffprobe version 5.1'); else setInterval(() => {}, 1000);`;
    for (const name of ['ffmpeg', 'ffprobe']) {
      chmodSync(samples.write(name, `#!${process.execPath}\n${body}\n`), 0o755);
    }
    vi.stubEnv('PATH', `${samples.folder}/.`);
    const file = samples.write('any.mp4', 'x');
    expect(await refusal(file, { ...DEFAULT_VIDEO_LIMITS, timeoutMs: 50 })).toMatch(
      /^deadline-exceeded: .*more than 0.05 s/,
    );
  });
});
