import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import type { RgbPicture } from '#ballast/runtime/rgb-picture.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import type { DeepfakeResponse } from '#ballast/server/deepfake-schemas.js';
import { formatTable } from '../shift/table.js';
import { LFW_CENTRE, LFW_PLACE, LFW_SIDE, type ArchivedFace } from './face-archive.js';
import { aurocInterval, mean, type Scoring } from './figures.js';
import { selfBlended } from './forgeries.js';
import { faceAt, type JudgingClient } from './judging-client.js';
import { between, decoded, jpegOf, moved, noisy } from './pixels.js';
import { writeFrames } from './video-file.js';

const FRAMES = 16;
const [FORGE, JITTER, GRAIN] = [11, 12, 13];

/** What was said of the person in the middle of a video. */
interface JudgedVideo extends Scoring {
  /** Standard deviation of the score over the frames. */
  readonly deviation: number;
  /** Share of frames with another verdict than the person. */
  readonly astray: number;
  /** Frames that LAME gave another class. */
  readonly changed: number;
}

/**
 * Compares LAME on and off over simulated videos, every other one a fake: a held-out person's picture, 16 times, each
 * time moved, scaled, compressed and grainy in another way.
 * @param faces - of `lfw/real`, one a video
 * @returns a table
 */
export async function compareLame(
  client: JudgingClient,
  faces: readonly ArchivedFace[],
  seed: number,
): Promise<string> {
  const judged = { off: [] as JudgedVideo[], on: [] as JudgedVideo[] };
  const folder = await mkdtemp(join(tmpdir(), 'ballast-videos-'));
  try {
    for (const [i, face] of faces.entries()) {
      const path = join(folder, 'video.mp4');
      const fake = i % 2 === 1;
      const picture = await decoded(face.jpeg);
      const forged = await selfBlended(picture, new SeededRandom(seed, FORGE, i));
      await writeFrames(path, await jittered(fake ? forged.fake : forged.real, seed, i), LFW_SIDE);
      for (const lame of ['off', 'on'] as const) {
        const answer = await client.video(path, `frames=${FRAMES}&lame=${lame}`);
        const one = judgedVideo(answer, fake, face.path);
        if (one !== undefined) judged[lame].push(one);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  const lines = [
    ['LAME', 'videos', 'AUROC', '95 % interval', 'deviation', 'frames astray', 'frames that LAME changed'],
  ];
  for (const [lame, videos] of Object.entries(judged)) {
    const { value, low, high } = await aurocInterval(videos, seed);
    lines.push([
      ...[lame, String(videos.length), value.toFixed(3), `${low.toFixed(3)} to ${high.toFixed(3)}`],
      mean(videos.map(({ deviation }) => deviation)).toFixed(4),
      `${(100 * mean(videos.map(({ astray }) => astray))).toFixed(1)} %`,
      `${((100 * mean(videos.map(({ changed }) => changed))) / FRAMES).toFixed(1)} %`,
    ]);
  }
  return formatTable(lines);
}

async function jittered(picture: RgbPicture, seed: number, video: number): Promise<Uint8Array[]> {
  const random = new SeededRandom(seed, JITTER, video);
  const grain = new GaussianNoise(seed, GRAIN, video);
  const frames: Uint8Array[] = [];
  for (let frame = 0; frame < FRAMES; frame++) {
    const by = {
      dx: between(random, -3, 3),
      dy: between(random, -3, 3),
      scale: between(random, 0.97, 1.03),
    };
    const shaken = noisy(moved(picture, by, LFW_CENTRE), between(random, 0, 6), grain);
    frames.push((await decoded(await jpegOf(shaken, Math.round(between(random, 35, 95))))).data);
  }
  return frames;
}

/** The person in the middle; undefined where there is none. */
function judgedVideo(
  { frames = [], persons = [] }: DeepfakeResponse,
  fake: boolean,
  origin: string,
): JudgedVideo | undefined {
  const faces = frames.flatMap((frame) => faceAt(frame.faces, LFW_PLACE) ?? []);
  const index = faces.find(({ person }) => person !== undefined)?.person;
  if (index === undefined) return undefined;
  const { score, deviation, verdict, lame } = persons[index];
  const own = frames.flatMap((frame) => frame.faces.filter(({ person }) => person === index));
  return {
    ...{ score, deviation, fake, origin },
    astray: own.filter((face) => face.verdict !== verdict).length / own.length,
    changed: lame?.changed ?? 0,
  };
}
