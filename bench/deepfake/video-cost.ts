import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeepfakeResponse } from '#ballast/server/deepfake-schemas.js';
import { median } from '../serve/measurement.js';
import type { ServerProcess } from '../serve/server-process.js';
import { formatTable } from '../shift/table.js';
import type { ArchivedFace } from './face-archive.js';
import type { JudgingClient } from './judging-client.js';
import { writeLongVideo } from './long-videos.js';
import { memoryOf, MemoryWatch } from './process-memory.js';

const MOST_SECONDS = 5;
const MOST_MEGABYTES = 200;

interface Cost {
  readonly seconds: number;
  readonly megabytes: number;
}

/**
 * Measures how long a video of 10 seconds and one of 10 minutes take until they are answered, and how much memory the
 * server and what it starts take beyond what they had before the first.
 * @returns whether the targets are met
 */
export async function measureVideos(
  server: ServerProcess,
  client: JudgingClient,
  face: ArchivedFace,
  seed: number,
): Promise<boolean> {
  const lines = [
    [
      'video',
      'MB',
      'seconds until the answer',
      'of these inside',
      'decode',
      'detect',
      'faces',
      'MB above idle',
      "of these ffmpeg's",
    ],
  ];
  const costs: Cost[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'ballast-videos-'));
  try {
    await sleep(2000);
    const { own, children } = memoryOf(server.pid);
    const idle = own + children;
    for (const [times, runs] of [
      [1, 5],
      [60, 2],
    ]) {
      const video = await writeLongVideo(folder, face, times, seed);
      const taken: number[] = [];
      const watch = new MemoryWatch(server.pid);
      let answer: DeepfakeResponse | undefined;
      for (let run = 0; run < runs; run++) {
        const begin = performance.now();
        answer = await client.video(video.path, '');
        taken.push((performance.now() - begin) / 1000);
      }
      const most = watch.stop();
      const megabytes = most.own + most.children - idle;
      costs.push({ seconds: median(taken), megabytes });
      const { timings_ms: timings, persons = [], frames = [] } = answer!;
      const inSeconds = (value: number): string => (value / 1000).toFixed(2);
      lines.push([
        ...[`${video.seconds} s`, video.megabytes.toFixed(1), median(taken).toFixed(2)],
        ...[timings.total, timings.decode, timings.detect].map(inSeconds),
        `${persons.length} in ${frames.filter(({ faces }) => faces.length > 0).length} frames`,
        ...[megabytes, most.children].map((value) => value.toFixed(0)),
      ]);
    }
    process.stdout.write(
      `1280 × 720, 30 frames a second; ${idle.toFixed(0)} MB idle\n\n${formatTable(lines)}\n\n`,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
  const [short, long] = costs;
  const said = (met: boolean, what: string): string => `${met ? 'met   ' : 'MISSED'}  ${what}\n`;
  const [fast, small] = [short.seconds < MOST_SECONDS, long.megabytes < MOST_MEGABYTES];
  process.stdout.write(
    said(fast, `10 seconds are answered in ${short.seconds.toFixed(2)} s (under ${MOST_SECONDS} wanted)`) +
      said(small, `10 minutes take ${long.megabytes.toFixed(0)} MB (under ${MOST_MEGABYTES} wanted)`),
  );
  return fast && small;
}
