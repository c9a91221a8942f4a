import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { z } from 'zod';
import { deepfakeResponseSchema } from '#ballast/server/deepfake-schemas.js';
import { drawnFaces, type DrawnFace } from './support/drawn-faces.js';
import { expectProblem } from './support/problems.js';
import { ask, serveFolder, type Answer, type TestServer } from './support/server.js';

type Judged = z.output<typeof deepfakeResponseSchema>;

const source = fileURLToPath(new URL('../../models/deepfake', import.meta.url));
const missing = spawnSync('ffmpeg', ['-version']).status !== 0 || !existsSync('/proc/self/stat');
if (missing) console.warn('ffmpeg or /proc is not there: the deepfake endpoint is not tested on videos.');

describe.skipIf(missing)('POST /v1/deepfake with a video', { timeout: 60_000 }, () => {
  let server: TestServer;
  let folder: string;
  let uploads: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ballast-videos-'));
    uploads = join(folder, 'uploads');
    await mkdir(uploads);
    // Where the server, which runs in this process, keeps uploads: other tests have theirs elsewhere.
    vi.stubEnv('TMPDIR', uploads);
    const models = await mkdtemp(join(tmpdir(), 'ballast-deepfake-'));
    await cp(source, join(models, 'deepfake'), { recursive: true });
    server = await serveFolder(models, { maxVideoMb: 20, maxVideos: 1, maxVideoSeconds: 600 });
  }, 60_000);
  afterAll(async () => {
    await server.close();
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true, force: true });
  });

  const uploaded = async (): Promise<string[]> =>
    (await readdir(uploads)).filter((name) => name.startsWith('ballast-video-'));
  const path = (name: string): string => join(folder, name);

  /** Runs ffmpeg in the folder. */
  function ffmpeg(...args: string[]): void {
    execFileSync('ffmpeg', ['-v', 'error', '-y', ...args], { cwd: folder });
  }

  /** A video of pictures of drawn faces, each shown for half a second. */
  async function videoOf(name: string, pictures: readonly (readonly DrawnFace[])[]): Promise<Buffer> {
    for (const [i, faces] of pictures.entries()) {
      await (await drawnFaces(640, 360, faces)).png().toFile(path(`${name}-${i}.png`));
    }
    ffmpeg(
      ...['-framerate', '2', '-i', `${name}-%d.png`, '-r', '10'],
      ...['-c:v', 'mpeg4', '-q:v', '3', '-pix_fmt', 'yuv420p', `${name}.mp4`],
    );
    return readFile(path(`${name}.mp4`));
  }

  function post(query: string, video: Uint8Array, name = 'clip.mp4'): Promise<Answer> {
    const body = new FormData();
    body.append('video', new Blob([Uint8Array.from(video)]), name);
    return ask(`${server.url}/v1/deepfake?${query}`, { method: 'POST', body });
  }

  async function judged(query: string, video: Uint8Array): Promise<Judged> {
    const { status, body } = await post(query, video);
    expect(status, JSON.stringify(body)).toBe(200);
    return deepfakeResponseSchema.strict().parse(body);
  }

  const left = { x: 180, y: 160, size: 110 };
  const right = { x: 470, y: 170, size: 100 };

  it('follows persons from frame to frame, and scores each by the mean of its frames', async () => {
    const video = await videoOf('two', [
      [left],
      [left, right],
      [{ ...left, x: 200 }, right],
      [
        { ...left, x: 210 },
        { ...right, x: 460 },
      ],
      [right],
      [],
    ]);
    const answer = await judged('frames=12', video);
    const { persons = [], frames = [] } = answer;
    expect(answer.video).toMatchObject({
      seconds: 3,
      frames: 30,
      frames_per_second: 10,
      width: 640,
      height: 360,
    });
    expect(answer.video!.missing).toBe(0);
    expect(frames).toHaveLength(12);
    expect(frames.map(({ index }) => index)).toEqual([0, 3, 5, 8, 11, 13, 16, 18, 21, 24, 26, 29]);
    for (const { index, seconds } of frames) expect(seconds).toBeCloseTo(index / 10, 2);
    expect(persons).toHaveLength(2);
    for (const [id, { score, frames: count, least, greatest }] of persons.entries()) {
      const scores = frames.flatMap(({ faces }) =>
        faces.filter(({ person }) => person === id).map((face) => face.score),
      );
      expect(scores).toHaveLength(count);
      expect(score).toBeCloseTo(scores.reduce((sum, one) => sum + one, 0) / count, 5);
      expect([least, greatest]).toEqual([Math.min(...scores), Math.max(...scores)]);
    }
    expect(answer.score).toBe(Math.max(...persons.map(({ score }) => score)));
    expect(frames.at(-1)).toMatchObject({ faces: [], score: null });
  });

  it('adapts the frames of each person together where LAME is asked for', async () => {
    const video = await videoOf('one', [[left], [{ ...left, x: 200 }], [left]]);
    const plain = await judged('frames=6&lame=off', video);
    const adapted = await judged('frames=6&lame=on', video);
    expect(plain.persons![0]).not.toHaveProperty('lame');
    expect(adapted.persons![0].lame).toMatchObject({ scope: 'request', samples: 6 });
    const bases = (answer: Judged): number[] => answer.frames!.map(({ faces }) => faces[0].base);
    expect(bases(adapted)).toEqual(bases(plain));
  });

  it('takes a body, and says where nobody is seen', async () => {
    const video = await videoOf('nobody', [[], []]);
    const { status, body } = await ask(`${server.url}/v1/deepfake`, {
      method: 'POST',
      headers: { 'content-type': 'video/mp4' },
      body: new Uint8Array(video),
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ media: 'video', verdict: 'no-face', score: null, persons: [] });
    expectProblem(await post('require=face', video), 422, /No face was found in the frames of the video/);
    expectProblem(await post('faces=crop', video), 422, /faces=crop is for pictures/);
  });

  it('refuses what cannot be judged, and leaves nothing behind', async () => {
    ffmpeg('-f', 'lavfi', '-i', 'sine=d=1', 'sound.m4a');
    ffmpeg('-f', 'lavfi', '-i', 'testsrc=s=64x64:r=1/60:d=14400', '-c:v', 'mpeg4', 'long.mp4');
    ffmpeg('-f', 'lavfi', '-i', 'color=s=6400x6400', '-frames:v', '1', '-c:v', 'png', 'bomb.mkv');
    const clip = await videoOf('clip', [[left], [left]]);
    const asPicture = new FormData();
    asPicture.append('image', new Blob([Uint8Array.from(clip)]), 'clip.mp4');
    const misplaced = await ask(`${server.url}/v1/deepfake`, { method: 'POST', body: asPicture });
    expectProblem(misplaced, 415, /image\[0\] is a video, not a picture; send a video as the file "video"/);
    const cases: [string, Uint8Array, number, RegExp][] = [
      ['sound', await readFile(path('sound.m4a')), 415, /holds sound and no video track/],
      ['long', await readFile(path('long.mp4')), 413, /lasts 14400 s, more than the 600 s that are taken/],
      ['bomb', await readFile(path('bomb.mkv')), 413, /6400 × 6400 pixels, more than the 33177600/],
      ['empty', new Uint8Array(), 400, /empty file \(0 bytes\)/],
      ['text', Buffer.from('#EXTM3U\n/etc/passwd\n'), 415, /no video that can be read/],
      ['cut', clip.subarray(0, clip.length / 2), 400, /cut short/],
      ['large', new Uint8Array(21e6), 413, /more than 20 MB/],
    ];
    for (const [name, bytes, status, detail] of cases) {
      expectProblem(await post('', bytes, name), status, detail);
    }
    expect(await childrenOf(process.pid)).toEqual([]);
    expect(await uploaded()).toEqual([]);
  });

  it('judges no more videos at once than it may, and forgets those whose client leaves', async () => {
    const half = request(`${server.url}/v1/deepfake`, {
      method: 'POST',
      headers: { 'content-type': 'video/mp4', 'content-length': 1_000_000 },
    });
    half.on('error', () => undefined);
    half.write(Buffer.alloc(1000));
    await expect.poll(uploaded).toHaveLength(1);
    const clip = await readFile(path('clip.mp4'));
    const refused = await post('', clip);
    expectProblem(refused, 429, /1 videos are in the server already/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    half.destroy();
    await expect.poll(async () => (await post('', clip)).status, { timeout: 10_000 }).toBe(200);
  });

  it('ends ffmpeg when the client leaves in the middle', async () => {
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=1280x720:r=25:d=12', '-c:v', 'mpeg4', '-q:v', '31', 'busy.mp4');
    const bytes = await readFile(path('busy.mp4'));
    const controller = new AbortController();
    const gone = fetch(`${server.url}/v1/deepfake`, {
      method: 'POST',
      headers: { 'content-type': 'video/mp4' },
      body: new Uint8Array(bytes),
      signal: controller.signal,
    }).catch(() => undefined);
    await expect
      .poll(async () => (await childrenOf(process.pid)).length, { timeout: 10_000, interval: 5 })
      .toBeGreaterThan(0);
    controller.abort();
    await gone;
    await expect.poll(() => childrenOf(process.pid), { timeout: 5000 }).toEqual([]);
    await expect.poll(uploaded).toEqual([]);
  });

  it('names no ffmpeg where there is none', async () => {
    const before = process.env['PATH'];
    process.env['PATH'] = folder;
    try {
      await writeFile(path('nothing'), '');
      expectProblem(await post('', await readFile(path('clip.mp4'))), 503, /ffmpeg/);
    } finally {
      process.env['PATH'] = before;
      await sleep(0);
    }
  });
});

/** Names of ffmpeg's programs that a process has started and that have not ended. */
async function childrenOf(pid: number): Promise<string[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(
    processes.map((name) => readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')),
  );
  return stats.flatMap((stat) => {
    const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(stat) ?? [];
    return Number(parent) === pid && state !== 'Z' && /^ff(mpeg|probe)$/.test(name) ? [name] : [];
  });
}
