import { join } from 'node:path';
import { writeAtomically } from '../runtime/write-atomically.js';
import { packageVersion } from '../server/version.js';
import { calibrateModel, type Calibration } from './calibrate.js';
import { openEvaluatedModel, type EvaluatedModel } from './evaluated-model.js';
import { EvaluationRun } from './evaluation-run.js';
import { chooseEntries, openLabelledPictures } from './labelled-pictures.js';
import { combinationsOf, parseMethods } from './method.js';
import type { EvalOptions } from './options.js';
import { decodePictures, LevelDecoder, type DecodedPictures } from './pictures.js';
import type { EvalProgress } from './progress.js';
import { referModel } from './reference.js';
import { markdownOf } from './report-markdown.js';
import { htmlOf } from './report-html.js';
import { reportOf } from './report.js';
import type { Report } from './report-schema.js';

/** What a run is watched and stopped by. */
export interface EvaluationHost {
  readonly progress: EvalProgress;
  /** Where it aborts, the run ends with its reason after the request that is under way; what was finished is kept. */
  readonly signal: AbortSignal;
  /** A line for people, such as what a calibration came to. */
  readonly tell: (line: string) => void;
}

/**
 * Measures a served model on labelled pictures: every method under every condition, in every order of arrival, at every
 * size of request. Writes `report.json`, `report.md` and `report.html` into the folder `out`; finished cells are kept
 * there in `cells.jsonl`, so that the same call goes on where it was stopped.
 * @returns what report.json says
 * @throws BallastError as openEvaluatedModel, openLabelledPictures, decodePictures and CellStore; the signal's reason
 */
export async function evaluate(options: EvalOptions, host: EvaluationHost): Promise<Report> {
  const { models, provider, remoteHosts } = options;
  const open = (): Promise<EvaluatedModel> =>
    openEvaluatedModel(models, options.model, provider, remoteHosts);
  let model = await open();
  try {
    // Mistakes in the command are told before the long work begins.
    methodsOf(model, options);
    const decoder = new LevelDecoder(model.input);
    const pictures = await readPictures(model, options, decoder, host);
    let calibration: Calibration | undefined;
    if (options.calibrate) {
      calibration = await runCalibration(model, pictures, decoder, options, host);
      if (calibration.written) {
        await model.served.close();
        model = await open();
      }
    }
    const methods = methodsOf(model, options);
    const run = await EvaluationRun.open({ model, pictures, decoder, methods, options }, host);
    const cells = await run.measure();
    const report = reportOf({
      ...{ options, model, pictures, cells },
      methods: methods.map(({ name }) => name),
      ...(calibration && { calibration }),
      ballast: packageVersion,
    });
    if (options.reference) await writeReference(model, pictures, decoder, options, host);
    const write = (name: string, text: string): Promise<void> =>
      writeAtomically(join(options.out, name), text);
    await write('report.json', `${JSON.stringify(report, null, 2)}\n`);
    await write('report.md', markdownOf(report));
    await write('report.html', await htmlOf(report));
    return report;
  } finally {
    host.progress.end();
    await model.served.close();
  }
}

function methodsOf(
  { lacking, configured }: EvaluatedModel,
  { methods }: EvalOptions,
): ReturnType<typeof parseMethods> {
  return methods === undefined ? combinationsOf(configured) : parseMethods(methods, lacking);
}

async function readPictures(
  { served, input }: EvaluatedModel,
  { data, labels, samples, seed }: EvalOptions,
  decoder: LevelDecoder,
  { progress, signal }: EvaluationHost,
): Promise<DecodedPictures> {
  const source = await openLabelledPictures(data, served.labels, labels);
  try {
    const entries = chooseEntries(source.entries, samples, seed);
    progress.begin(entries.length);
    const onDecoded = (): void => {
      progress.advance(1, 'reading pictures');
    };
    return await decodePictures(source, entries, input, decoder, { onDecoded, signal });
  } finally {
    progress.end();
    source.close();
  }
}

async function writeReference(
  model: EvaluatedModel,
  pictures: DecodedPictures,
  decoder: LevelDecoder,
  { seed }: EvalOptions,
  { progress, signal, tell }: EvaluationHost,
): Promise<void> {
  progress.begin(pictures.levels.length);
  const onSamples = (samples: number): void => {
    progress.advance(samples, 'writing the reference');
  };
  await referModel(model, pictures, decoder, { seed, signal, onSamples });
  progress.end();
  tell(`The reference that drift is told from is in ${model.definition.folder}, named in its model.yaml.`);
}

async function runCalibration(
  model: EvaluatedModel,
  { levels, labels }: DecodedPictures,
  decoder: LevelDecoder,
  { seed }: EvalOptions,
  { progress, signal, tell }: EvaluationHost,
): Promise<Calibration> {
  progress.begin(labels.length);
  const onSamples = (samples: number): void => {
    progress.advance(samples, 'calibrating');
  };
  const tensorOf = (begin: number, end: number): ReturnType<LevelDecoder['tensor']> =>
    decoder.tensor(levels.slice(begin, end));
  const calibration = await calibrateModel(model, labels, seed, tensorOf, { onSamples, signal });
  progress.end();
  const { before, after, fittedOn, judgedOn, written } = calibration;
  const change = (of: 'calibrationError' | 'logLoss'): string =>
    `${before[of].toFixed(4)} -> ${after[of].toFixed(4)}`;
  tell(
    `Temperature ${before.temperature} -> ${after.temperature}, fitted on ${fittedOn} pictures; on the other ${judgedOn}: expected calibration error ${change('calibrationError')}, log loss ${change('logLoss')}.`,
  );
  tell(
    written
      ? `Written to ${join(model.definition.folder, 'model.yaml')}.`
      : 'Not written: the log loss of the pictures that it was not fitted on is not less than with what model.yaml has.',
  );
  return calibration;
}
