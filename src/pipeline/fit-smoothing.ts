import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { BallastError } from '../errors.js';
import {
  fitNonlinear,
  type Accuracies,
  type LabelledLogits,
  type NonlinearFit,
} from '../robust/fit-nonlinear.js';
import { Ensemble } from '../runtime/ensemble.js';
import { toMatrix } from '../runtime/matrix.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import type { ProviderChoice } from '../runtime/providers.js';
import { BETWEEN_LAYERS } from '../runtime/thread-plan.js';
import type { TensorMap } from '../runtime/tensor.js';
import { readLabelledFolder } from './labelled-folder.js';
import { mixtureOf } from './mixture-fit.js';
import { readModelFile, type ModelDefinition } from './model-file.js';
import { decodersOf, fileInputs, labelsOf, tensorsOf } from './model-fit.js';
import { Batch } from './pipeline.js';
import { concatRows } from './rows.js';
import { smoothingSchema } from './smoothing-config.js';
import { DecodeStage } from './stages/decode.js';

/** What `ballast fit --smoothing` is asked for. */
export interface FitSmoothingOptions {
  readonly modelsDir: string;
  readonly model: string;
  /** Folder of clean pictures, one folder a class. */
  readonly clean: string;
  /** The same, attacked. */
  readonly attacked: string;
  /** Share of the robust classifier's right answers under attack that must stay, in (0, 1). */
  readonly kept: number;
  readonly provider: ProviderChoice;
  /** Told the share that is done, in [0, 1], and what is being done. */
  readonly onProgress?: (share: number, doing: string) => void;
}

const BATCH = 64;

/**
 * Searches the numbers of nonlinear mixing for a model with a robust classifier, and writes them to its model.yaml.
 * @returns what was found, and a summary for people
 * @throws BallastError invalid-model or invalid-input where the model or a folder is not as it must be
 */
export async function fitSmoothing(
  options: FitSmoothingOptions,
): Promise<{ fit: NonlinearFit; summary: string }> {
  const { modelsDir, model, kept, onProgress = () => undefined } = options;
  if (!(kept > 0 && kept < 1)) {
    throw new BallastError(
      'invalid-input',
      `--keep is ${kept}; it is a share between 0 and 1, such as 0.985.`,
    );
  }
  const folder = join(modelsDir, model);
  const definition = await readModelFile(folder, model, '1');
  const answering = await openClassifiers(definition, options.provider);
  const clean = await answering(options.clean, (share) => {
    onProgress(share * 0.3, 'clean pictures');
  });
  const attacked = await answering(options.attacked, (share) => {
    onProgress(0.3 + share * 0.3, 'attacked pictures');
  });
  const fit = fitNonlinear(clean, attacked, kept, (share) => {
    onProgress(0.6 + share * 0.4, 'searching');
  });
  const file = join(folder, 'model.yaml');
  await writeFile(file, withFit(await readFile(file, 'utf8'), fit));
  return { fit, summary: summarise(file, fit, clean, attacked) };
}

/** Opens both classifiers; what comes back answers a folder's pictures with their logits. */
async function openClassifiers(
  definition: ModelDefinition,
  provider: ProviderChoice,
): Promise<(folder: string, onProgress: (share: number) => void) => Promise<LabelledLogits>> {
  const { config, files, name } = definition;
  if (files.classifier === undefined) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}" is remote; mixing needs a classifier with a file.`,
    );
  }
  const found = inspectModel(await readFile(files.classifier), { logits: config.classifier.logits });
  const { logits } = tensorsOf({ ...config, lame: undefined }, found, name);
  // Whatever model.yaml mixes them with today, only the two classifiers are needed.
  const { classifier, robust } = files;
  const smoothing = smoothingSchema.parse({ alpha: 0.5 });
  const mixture = await mixtureOf(
    {
      ...definition,
      files: { classifier, ...(robust !== undefined && { robust }) },
      config: { ...config, smoothing },
    },
    found,
  );
  if (mixture === undefined || logits === undefined) {
    throw new BallastError('invalid-model', `Model "${name}" is no classifier of pictures.`);
  }
  const ensemble = await Ensemble.open({
    file: files.classifier,
    expose: [logits],
    companions: mixture.companions,
    providers: config.providers ?? [provider],
    threads: availableParallelism(),
    spinMicroseconds: BETWEEN_LAYERS,
  });
  const decode = new DecodeStage(decodersOf(fileInputs(config, found.inputs, name)));
  const [input] = Object.keys(config.inputs);
  const labels = labelsOf(definition, found.classes);
  return async (folder, onProgress) => {
    const listed = await readLabelledFolder(folder, labels);
    const parts: TensorMap[] = [];
    for (let begin = 0; begin < listed.length; begin += BATCH) {
      const part = listed.slice(begin, begin + BATCH);
      const pictures = await Promise.all(part.map(({ path }) => readFile(path)));
      const batch = new Batch({ count: part.length, options: {}, files: { [input]: pictures } });
      await decode.run(batch);
      parts.push(await ensemble.run(batch.inputs, [logits, mixture.robustLogits]));
      onProgress((begin + part.length) / listed.length);
    }
    const answers = concatRows(parts);
    return {
      labels: Uint32Array.from(listed, ({ label }) => label),
      standard: toMatrix(answers[logits], 'The tensor of logits'),
      robust: toMatrix(answers[mixture.robustLogits], "The robust classifier's tensor of logits"),
    };
  };
}

/** The text of a model.yaml with the fit in it; comments and all other keys stay. */
export function withFit(text: string, { nonlinearity, alpha }: NonlinearFit): string {
  const document = parseDocument(text);
  for (const key of ['mixing', 'features', 'gamma', 'standardScale', 'robustScale']) {
    if (document.hasIn(['smoothing', key])) document.deleteIn(['smoothing', key]);
  }
  document.setIn(['smoothing', 'mode'], 'nonlinear');
  document.setIn(['smoothing', 'alpha'], alpha);
  const { scale, power, shift } = nonlinearity;
  const digits = (value: number): number => Number(value.toPrecision(6));
  const numbers = { scale: digits(scale), power: digits(power), shift: digits(shift) };
  document.setIn(['smoothing', 'nonlinear'], document.createNode(numbers, { flow: true }));
  return document.toString({ lineWidth: 120 });
}

function summarise(file: string, fit: NonlinearFit, clean: LabelledLogits, attacked: LabelledLogits): string {
  const { nonlinearity, alpha } = fit;
  const line = (name: string, { standard, robust, mixed }: Accuracies, count: number): string =>
    [
      name.padEnd(10),
      ...[standard, robust, mixed].map((share) => (share * 100).toFixed(2).padStart(10)),
      `   ${count} pictures`,
    ].join('');
  return [
    `${'per cent'.padEnd(10)}  standard    robust     mixed`,
    line('clean', fit.clean, clean.labels.length),
    line('attacked', fit.attacked, attacked.labels.length),
    '',
    `${file}: smoothing is nonlinear now, alpha ${alpha}, scale ${nonlinearity.scale.toPrecision(4)}, power ${nonlinearity.power.toPrecision(4)}, shift ${nonlinearity.shift.toPrecision(4)}.`,
    'The attacked pictures are as strong as the attack that made them: attack the mixture itself before you rely on it.',
  ].join('\n');
}
