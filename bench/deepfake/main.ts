/** `npm run bench:deepfake`: what a deepfake model says of held-out faces. See options.ts. */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBallast } from '../serve/ballast.js';
import type { ServerProcess } from '../serve/server-process.js';
import { readFaces } from './face-archive.js';
import { calibrationError } from './figures.js';
import { recallOf } from './found-faces.js';
import { judgeSet, ofLevel, tableOfSets, type JudgedSet } from './judged-sets.js';
import { JudgingClient } from './judging-client.js';
import { readOptions, USAGE, type DeepfakeBenchOptions } from './options.js';
import {
  archivedSet,
  degraded,
  DEGRADATIONS,
  heldOut,
  selfBlendedSet,
  swappedSet,
  type Archive,
  type ArchivedSource,
  type PictureSet,
} from './picture-sets.js';
import { compareLame } from './steadiness.js';
import { measureVideos } from './video-cost.js';

/** Long enough that what is slow is measured, not refused. */
const REQUEST_TIMEOUT_SECONDS = 600;

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else await run(options);

async function run(given: DeepfakeBenchOptions): Promise<void> {
  const folder = join(given.models, given.model);
  const absent = [
    ...(existsSync(given.data) ? [] : [`There are no faces at ${given.data}; name the zip by --data.`]),
    ...(existsSync(join(folder, 'model.yaml'))
      ? []
      : [`There is no model in ${folder}; name its folder by --models and --model.`]),
  ];
  if (absent.length > 0) {
    process.stderr.write(`${absent.join('\n')}\n`);
    process.exitCode = 1;
    return;
  }
  const archive = await readFaces(given.data);
  const models = await mkdtemp(join(tmpdir(), 'ballast-deepfake-'));
  let server: ServerProcess | undefined;
  try {
    await cp(folder, join(models, given.model), { recursive: true });
    server = await startBallast(models, ['--request-timeout', String(REQUEST_TIMEOUT_SECONDS)]);
    const client = new JudgingClient(`http://127.0.0.1:${server.port}`);
    if (given.video) {
      const [face] = heldOut(archive, 'lfw/real', 1, given.seed);
      process.exitCode = (await measureVideos(server, client, face, given.seed)) ? 0 : 1;
    } else await measurePictures(client, archive, given);
  } finally {
    await server?.stop();
    await rm(models, { recursive: true });
  }
}

async function measurePictures(
  client: JudgingClient,
  archive: Archive,
  { samples, videos, seed, allFakes }: DeepfakeBenchOptions,
): Promise<void> {
  const begin = performance.now();
  const people = heldOut(archive, 'lfw/real', samples, seed);
  process.stdout.write(`${people.length} held-out people, seed ${seed}\n\n`);
  process.stdout.write(`${await recallOf(client, people)}\n\n`);

  const blended = await selfBlendedSet(people, seed);
  const judgedBlended = await judgeSet(client, blended);
  const sets: JudgedSet[] = [judgedBlended, await judgeSet(client, await swappedSet(people, seed))];
  const archived = (name: string, source: ArchivedSource): Promise<PictureSet> =>
    archivedSet(archive, { name, source, allFakes }, samples, seed);
  const composites = await judgeSet(client, await archived('composites', 'ciplab'));
  sets.push(composites, ...['easy', 'mid', 'hard'].map((level) => ofLevel(composites, level)));
  sets.push(await judgeSet(client, await archived('StyleGAN2', 'ffhq-stylegan2')));
  process.stdout.write(`${await tableOfSets(sets, seed)}\n\n`);
  process.stdout.write(
    `Expected calibration error on LFW, self-blended and real: ${calibrationError(judgedBlended.found).toFixed(3)}\n\n`,
  );

  const worse: JudgedSet[] = [judgedBlended];
  for (const how of DEGRADATIONS) worse.push(await judgeSet(client, await degraded(blended, how, seed)));
  process.stdout.write(`${await tableOfSets(worse, seed)}\n\n`);

  process.stdout.write(`${await compareLame(client, people.slice(0, videos), seed)}\n`);
  process.stdout.write(`\n${Math.round((performance.now() - begin) / 1000)} s in all.\n`);
}
