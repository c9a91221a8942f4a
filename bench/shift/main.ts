/** `npm run bench:shift`: accuracy with and without LAME where the test images shift. See options.ts. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { closeLame } from '#ballast/adapt/lame.js';
import { accuracyOf, predictedClasses } from './accuracy.js';
import { ServedAdapter, StageAdapter } from './adapter.js';
import { baseAnswers, featuresTensor, type BaseAnswers } from './base-answers.js';
import { addNoise } from './noise.js';
import { readOptions, USAGE, type Affinity, type ShiftOptions } from './options.js';
import { indicesInOrder, type Order } from './orders.js';
import { classify, GROUPINGS, type Grouping, type Row } from './row.js';
import { serveModels, type ServedModels } from './served-models.js';
import { formatTable } from './table.js';
import { isShifted, judge, nameOf, signed, TARGETS } from './targets.js';
import { encodePngs, readTestImages, type TestImages } from './test-images.js';

/** The images of one noise level, encoded, and what the model alone says of them. */
interface Level {
  readonly level: number;
  readonly files: readonly Uint8Array[];
  readonly base: BaseAnswers;
  readonly accuracy: number;
}

const ORDERS: readonly Order[] = ['runs of 40', 'shuffled'];

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else await run(options);

async function run(given: ShiftOptions): Promise<void> {
  const start = performance.now();
  const models = await serveModels(given.models, given.model, given.affinities);
  try {
    const [first] = given.affinities;
    const { labels } = models.get(first);
    const images = await readTestImages(given.data, labels, given.perClass);
    process.stdout.write(
      `${given.model}: ${images.labels.length} test images, ${labels.length} classes, seed ${given.seed}, k 5\n\n`,
    );
    const rows: Row[] = [];
    for (const level of await shiftedLevels(given, models, images)) {
      rows.push(...(await rowsOf(level, given, models, images)));
    }
    const { lines, met } = judge(rows);
    process.stdout.write(`\n${tableOf(rows, given.affinities)}\n\n${lines.join('\n')}\n`);
    process.stdout.write(
      `\nRows marked * went through the whole pipeline; the others through LAME's stage alone. ` +
        `${Math.round((performance.now() - start) / 1000)} s in all.\n`,
    );
    if (given.json !== undefined) {
      await writeFile(given.json, JSON.stringify({ seed: given.seed, met, rows }, null, 2));
    }
    process.exitCode = met ? 0 : 1;
  } finally {
    await models.close();
    await closeLame();
  }
}

/** The levels asked for, and one more where none of them brings the model into the range that targets speak of. */
async function shiftedLevels(
  given: ShiftOptions,
  models: ServedModels,
  images: TestImages,
): Promise<Level[]> {
  const levels: Level[] = [];
  for (const level of given.levels) levels.push(await measureLevel(level, given, models, images));
  if (levels.some(({ accuracy }) => isShifted(accuracy))) return levels;
  let [low, high] = [0, 128];
  for (let step = 0; step < 8; step++) {
    const level = Math.round((low + high) / 2);
    const found = await measureLevel(level, given, models, images);
    if (isShifted(found.accuracy)) return [...levels, found].sort((a, b) => a.level - b.level);
    if (found.accuracy > 70) low = level;
    else high = level;
  }
  return levels;
}

async function measureLevel(
  level: number,
  { models: directory, model, seed, affinities }: ShiftOptions,
  models: ServedModels,
  { pictures, labels }: TestImages,
): Promise<Level> {
  const shifted = pictures.map((picture, i) => ({
    ...picture,
    pixels: addNoise(picture.pixels, level, seed * 1_000_003 + i),
  }));
  const files = await encodePngs(shifted);
  const served = models.get(affinities[0]);
  const base = await baseAnswers(served, files, await featuresTensor(served, join(directory, model)));
  const accuracy = accuracyOf(predictedClasses(base.probabilities), labels);
  process.stdout.write(`noise ${level}: base ${accuracy.toFixed(1)} %\n`);
  return { level, files, base, accuracy };
}

async function rowsOf(
  level: Level,
  given: ShiftOptions,
  models: ServedModels,
  { labels }: TestImages,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const order of ORDERS) {
    const images = indicesInOrder(order, labels, given.seed);
    for (const grouping of GROUPINGS) {
      for (const affinity of given.affinities) {
        const row = { level: level.level, order, grouping, affinity, base: level.accuracy };
        const stream = `${level.level} ${order}`;
        const model = models.get(affinity);
        const staged = await classify(new StageAdapter(model, level.base), images, grouping, stream);
        const ordered = images.map((image) => labels[image]);
        const adapted = accuracyOf(staged, ordered);
        const served =
          given.served || TARGETS.some(({ covers }) => covers({ ...row, adapted, served: true }));
        if (!served) {
          rows.push({ ...row, adapted, served });
          continue;
        }
        const whole = await classify(new ServedAdapter(model, level.files), images, grouping, stream);
        assertSame(staged, whole, row);
        rows.push({ ...row, adapted: accuracyOf(whole, ordered), served });
      }
    }
  }
  return rows;
}

/** Merging and batching may move the last bits of a logit, and with it a prediction on the edge, but no more. */
function assertSame(
  staged: readonly number[],
  whole: readonly number[],
  row: Pick<Row, 'level' | 'order' | 'grouping' | 'affinity'>,
): void {
  const different = staged.filter((prediction, i) => prediction !== whole[i]).length;
  if (different > staged.length / 500) {
    throw new Error(
      `${different} of ${staged.length} predictions differ between the pipeline and its stage: ${JSON.stringify(row)}`,
    );
  }
}

/** A line for each level, order and grouping; a column for each affinity. */
function tableOf(rows: readonly Row[], affinities: readonly Affinity[]): string {
  const head = [
    'noise',
    'order',
    'requests',
    'base',
    ...affinities.flatMap((affinity) => [affinity, 'gain']),
  ];
  const keys = new Map<string, { level: number; order: Order; grouping: Grouping; base: number }>();
  for (const row of rows) keys.set(`${row.level} ${row.order} ${row.grouping}`, row);
  const lines = [...keys.values()].map(({ level, order, grouping, base }) => [
    String(level),
    order,
    nameOf(grouping),
    base.toFixed(1),
    ...affinities.flatMap((affinity) => {
      const row = rows.find(
        (candidate) =>
          candidate.level === level &&
          candidate.order === order &&
          candidate.grouping === grouping &&
          candidate.affinity === affinity,
      )!;
      return [`${row.served ? '*' : ''}${row.adapted.toFixed(1)}`, signed(row.adapted - row.base)];
    }),
  ]);
  return formatTable([head, ...lines]);
}
