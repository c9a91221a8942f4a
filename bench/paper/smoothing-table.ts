import { join } from 'node:path';
import { chooseEntries, openLabelledPictures } from '#ballast/eval/labelled-pictures.js';
import { decodePictures, LevelDecoder, type DecodedPictures } from '#ballast/eval/pictures.js';
import type { Matrix } from '#ballast/runtime/tensor.js';
import { accuracyOf, predictedClasses } from '../shift/accuracy.js';
import { markdownTable, percent } from './markdown-table.js';
import { openMixtures, type Mixture, type OpenedMixtures } from './mixtures.js';
import type { PaperOptions } from './options.js';
import { marginsOf, squareAttack, type AttackedSet, type AttackResult } from './square-attack.js';

/** Grey levels. */
const EPSILON = 8;

/** Pictures of a request. */
const TOGETHER = 64;

/** One mixture's figures; accuracies as shares. */
interface Row {
  readonly mixture: Mixture;
  readonly clean: number;
  readonly attack: AttackResult;
}

/**
 * Adaptive smoothing's trade-off: accuracy on clean pictures against accuracy under the Square attack, each mixture
 * attacked through itself.
 * @returns Markdown
 * @throws BallastError as openEvaluatedModel, openLabelledPictures and LoadedModel.infer
 */
export async function smoothingTable(given: PaperOptions): Promise<string> {
  const { models, queries, seed } = given;
  const opened = await openMixtures(models);
  try {
    const { model, mixtures } = opened;
    const decoder = new LevelDecoder(model.input);
    const clean = await readPictures(given, opened, decoder, given.clean);
    const attacked = await readPictures(given, opened, decoder, given.attacked);
    const set: AttackedSet = {
      pictures: attacked.levels,
      labels: attacked.labels,
      side: model.input.width,
    };
    const rows: Row[] = [];
    for (const mixture of mixtures) {
      const scores = (pictures: readonly Uint8Array[]): Promise<Matrix> => ask(mixture, decoder, pictures);
      const row = {
        mixture,
        clean: accuracyOf(predictedClasses(await scores(clean.levels)), [...clean.labels]) / 100,
        attack: await squareAttack(scores, set, { epsilon: EPSILON, queries, seed }),
      };
      rows.push(row);
      process.stderr.write(
        `${mixture.name}: clean ${percent(row.clean)}, attacked ${shareOf(row.attack.kept)}, ${row.attack.asked} queries\n`,
      );
    }
    const asked = rows.reduce((sum, { attack }) => sum + attack.asked, 0);
    return [
      `\`npm run bench:paper -- --only smoothing --clean ${given.clean} --attacked ${given.attacked} --queries ${queries} --seed ${seed}\``,
      `Per cent of ${clean.labels.length} clean test pictures, and of ${set.pictures.length} under the Square attack at ` +
        `${EPSILON}/255 in every pixel with up to ${queries} queries a picture, each mixture attacked through itself ` +
        `(one standard error is up to ${(50 / Math.sqrt(set.pictures.length)).toFixed(1)} points). The last column counts ` +
        `a picture as kept where none of the table's ${rows.length} attacks succeeded, those on other rows included. ` +
        `${asked} queries in all. So few queries without gradients find less than the gradient attacks of ` +
        '`models/train/tradeoff.py`, above all on mixtures: this compares rows, and is no bound.',
      markdownTable([
        ['mixture', 'clean', 'Square attack', 'queries a picture', `worst of ${rows.length} attacks`],
        ...(await Promise.all(rows.map((row) => lineOf(row, rows, set, decoder)))),
      ]),
    ].join('\n\n');
  } finally {
    await opened.close();
  }
}

async function lineOf(
  { mixture, clean, attack }: Row,
  rows: readonly Row[],
  { pictures, labels }: AttackedSet,
  decoder: LevelDecoder,
): Promise<string[]> {
  let kept = attack.kept;
  for (const other of rows) {
    const margins = marginsOf(await ask(mixture, decoder, other.attack.pictures), labels);
    kept = kept.map((still, i) => still && margins[i] > 0);
  }
  const queries = Math.round(attack.asked / pictures.length);
  return [mixture.name, percent(clean), shareOf(attack.kept), String(queries), shareOf(kept)];
}

function shareOf(flags: readonly boolean[]): string {
  return percent(flags.filter(Boolean).length / flags.length);
}

async function readPictures(
  { data, seed }: PaperOptions,
  { model }: OpenedMixtures,
  decoder: LevelDecoder,
  count: number,
): Promise<DecodedPictures> {
  const source = await openLabelledPictures(join(data, 'cifar10-test.zip'), model.served.labels);
  try {
    const entries = chooseEntries(source.entries, count, seed);
    return await decodePictures(source, entries, model.input, decoder, {
      onDecoded: () => undefined,
      signal: new AbortController().signal,
    });
  } finally {
    source.close();
  }
}

/** What a mixture answers for some pictures, `[N, K]`. */
async function ask(
  { served, options }: Mixture,
  decoder: LevelDecoder,
  pictures: readonly Uint8Array[],
): Promise<Matrix> {
  const [{ name: input }] = served.inputs;
  const cols = served.labels.length;
  const data = new Float32Array(pictures.length * cols);
  for (let begin = 0; begin < pictures.length; begin += TOGETHER) {
    const tensor = decoder.tensor(pictures.slice(begin, begin + TOGETHER));
    const { probabilities } = await served.infer({ [input]: tensor }, options);
    data.set(probabilities!.data, begin * cols);
  }
  return { data, rows: pictures.length, cols };
}
