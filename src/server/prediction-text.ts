import { setImmediate as nextTurn } from 'node:timers/promises';
import { BallastError } from '../errors.js';
import type { BatchResult, StageTimings } from '../pipeline/batch.js';
import type { ServedModel } from '../pipeline/serving.js';
import type { Matrix } from '../runtime/tensor.js';
import { topIndices } from './top-k.js';

// Classes looked at, or written, in one turn of the event loop: a few milliseconds.
const WORK_A_TURN = 100_000;
const WORK_PER_WRITTEN_CLASS = 20;

const STAGES = [
  'decode',
  'queue',
  'forward',
  'lame',
  'total',
] as const satisfies readonly (keyof StageTimings)[];

const quotedLabels = new WeakMap<ServedModel, readonly string[]>();

function quotedLabelsOf(model: ServedModel): readonly string[] {
  let quoted = quotedLabels.get(model);
  if (!quoted) {
    quoted = model.labels.map((label) => JSON.stringify(label));
    quotedLabels.set(model, quoted);
  }
  return quoted;
}

/**
 * The answer to a predict request, as JSON (PredictResponse in schemas.ts). Written by hand, because it is the
 * hottest text of the server; over several turns of the event loop where it is long.
 * @param top - classes wanted of each sample
 * @throws BallastError impossible for a model that answers no classes
 */
export async function predictionText(model: ServedModel, result: BatchResult, top: number): Promise<string> {
  const { probabilities, base } = result;
  if (!probabilities || !base) {
    throw new BallastError('impossible', `The model "${model.name}" answers no classes.`);
  }
  const labels = quotedLabelsOf(model);
  const workOfRow = probabilities.cols * 2 + Math.min(top, probabilities.cols) * WORK_PER_WRITTEN_CLASS;
  let predictions = '';
  let work = 0;
  for (let row = 0; row < result.count; row++) {
    if (work > WORK_A_TURN) {
      await nextTurn();
      work = 0;
    }
    if (row > 0) predictions += ',';
    predictions += predictionOfRow(probabilities, base, row, labels, top);
    work += workOfRow;
  }
  const { lame } = result;
  const adaptation = lame
    ? `{"lame":{"scope":"${lame.scope}","samples":${lame.samples},"iterations":${lame.iterations},"changed":${lame.changed}}}`
    : '{}';
  return `{"model":${JSON.stringify(model.name)},"version":${JSON.stringify(model.version)},"predictions":[${predictions}],"adaptation":${adaptation},"timings_ms":${timingsText(result.timings)}}`;
}

function predictionOfRow(
  probabilities: Matrix,
  base: Matrix,
  row: number,
  labels: readonly string[],
  top: number,
): string {
  const { cols } = probabilities;
  const begin = row * cols;
  const best = topIndices(probabilities.data, begin, cols, top);
  const ranked = (index: number, matrix: Matrix): string =>
    `"label":${labels[index]},"index":${index},"probability":${rounded(matrix.data[begin + index])}`;
  const listed = best.map((index) => `{${ranked(index, probabilities)}}`).join(',');
  const [baseBest] = topIndices(base.data, begin, cols, 1);
  return `{${ranked(best[0], probabilities)},"top":[${listed}],"base":{${ranked(baseBest, base)}}}`;
}

/** Seven decimals: what a float32 knows. */
function rounded(probability: number): number {
  return Math.round(probability * 1e7) / 1e7;
}

function timingsText(timings: StageTimings): string {
  let text = '';
  for (const stage of STAGES) {
    const milliseconds = timings[stage];
    if (milliseconds === undefined) continue;
    text += `${text === '' ? '' : ','}"${stage}":${Math.round(milliseconds * 100) / 100}`;
  }
  return `{${text}}`;
}
