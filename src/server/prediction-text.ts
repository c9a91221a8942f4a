import { setImmediate as nextTurn } from 'node:timers/promises';
import { BallastError } from '../errors.js';
import { TIMED, type BatchResult, type Certificate, type StageTimings } from '../pipeline/batch.js';
import type { ServedModel } from '../pipeline/serving.js';
import type { Matrix } from '../runtime/tensor.js';
import { topIndices } from './top-k.js';

// Classes looked at, or written, in one turn of the event loop: a few milliseconds.
const WORK_A_TURN = 100_000;
const WORK_PER_WRITTEN_CLASS = 20;

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
    predictions += predictionOfRow(probabilities, base, row, labels, top, smoothingOfRow(result, row));
    work += workOfRow;
  }
  return `{"model":${JSON.stringify(model.name)},"version":${JSON.stringify(model.version)},"predictions":[${predictions}],"adaptation":${adaptationText(result)},"timings_ms":${timingsText(result.timings)}}`;
}

function predictionOfRow(
  probabilities: Matrix,
  base: Matrix,
  row: number,
  labels: readonly string[],
  top: number,
  more: string,
): string {
  const { cols } = probabilities;
  const begin = row * cols;
  const best = topIndices(probabilities.data, begin, cols, top);
  const ranked = (index: number, matrix: Matrix): string =>
    `"label":${labels[index]},"index":${index},"probability":${rounded(matrix.data[begin + index])}`;
  const listed = best.map((index) => `{${ranked(index, probabilities)}}`).join(',');
  const [baseBest] = topIndices(base.data, begin, cols, 1);
  return `{${ranked(best[0], probabilities)},"top":[${listed}],"base":{${ranked(baseBest, base)}}${more}}`;
}

function smoothingOfRow({ alpha, certificates, modulation }: BatchResult, row: number): string {
  const certificate = certificates?.[row];
  const unset = modulation?.unset[row];
  return (
    (modulation ? `,"missing":${JSON.stringify(modulation.missing[row])}` : '') +
    (unset === undefined ? '' : `,"modulation":${JSON.stringify(`none for ${unset}`)}`) +
    (alpha ? `,"alpha":${rounded(alpha[row])}` : '') +
    (certificate ? `,"certificate":${certificateText(certificate)}` : '')
  );
}

function certificateText({ radius, norm, confidence, samples }: Certificate): string {
  return JSON.stringify({ radius: rounded(Math.min(radius, Number.MAX_VALUE)), norm, confidence, samples });
}

function adaptationText({ lame, smoothing, prompt, modulation }: BatchResult): string {
  return JSON.stringify({
    modulation: modulation && { missing: modulation.missing },
    prompt,
    lame,
    smoothing: smoothing && { mode: smoothing.mode, alpha: smoothing.alpha.map(rounded) },
  });
}

/** Seven decimals: what a float32 knows. */
function rounded(probability: number): number {
  return Math.round(probability * 1e7) / 1e7;
}

function timingsText(timings: StageTimings): string {
  let text = '';
  for (const stage of [...TIMED, 'total'] as const) {
    const milliseconds = timings[stage];
    if (milliseconds === undefined) continue;
    text += `${text === '' ? '' : ','}"${stage}":${Math.round(milliseconds * 100) / 100}`;
  }
  return `{${text}}`;
}
