import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { BallastError } from '../errors.js';
import type { CompanionSpec } from '../runtime/ensemble.js';
import { inspectModel, type ModelInspection } from '../runtime/onnx/inspect.js';
import type { Rescaling } from '../runtime/rescale.js';
import type { ModelConfig } from './model-config.js';
import type { ModelDefinition } from './model-file.js';
import type { SmoothingConfig } from './smoothing-config.js';

/** Names under which the companions' answers are fetched; no ONNX exporter begins a tensor's name like this. */
const ROBUST_LOGITS = 'ballast:robust-logits';
const GAMMA = 'ballast:gamma';
const VOTER_LOGITS = 'ballast:voter-logits';

/** The files that are mixed with a classifier, and what is fetched of them. */
export interface Mixture {
  readonly config: SmoothingConfig;
  readonly companions: readonly CompanionSpec[];
  /** Tensors of the classifier that the mixing network reads. */
  readonly expose: readonly string[];
  readonly robustLogits: string;
  /** What the mixing network answers; undefined where alpha is fixed. */
  readonly gamma: string | undefined;
  /** Logits of the classifier that votes under noise; undefined where nothing is certified so. */
  readonly voterLogits: string | undefined;
}

/**
 * Finds out how the files of `robust` and `smoothing` in model.yaml fit the classifier.
 * @param standard - what was found in the classifier's file
 * @returns undefined where nothing is mixed
 * @throws BallastError invalid-model where classes or inputs differ, or the mixing network's inputs have no source
 */
export async function mixtureOf(
  definition: ModelDefinition,
  standard: ModelInspection,
): Promise<Mixture | undefined> {
  const { config, files, name } = definition;
  const { robust, smoothing } = config;
  if (robust === undefined && smoothing === undefined) return undefined;
  const refuse = (why: string): BallastError => new BallastError('invalid-model', `Model "${name}": ${why}`);
  if (robust === undefined || smoothing === undefined || files.robust === undefined) {
    throw refuse(
      `robust and smoothing go together in model.yaml; ${robust === undefined ? 'robust' : 'smoothing'} is missing.`,
    );
  }
  if (config.task === 'raw') throw refuse('only classifiers can be mixed, and this one is of task raw.');
  const { logits } = robust;
  const rescaling = rescalingOf(config, refuse);
  const second = await findClassifier(files.robust, 'robust.logits', logits, standard, refuse);
  const answers: Answers = { [ROBUST_LOGITS]: second.logits };
  const companions: CompanionSpec[] = [{ file: files.robust, feeds: second.feeds, rescaling, answers }];
  const expose: string[] = [];
  if (files.mixing !== undefined) {
    const mixing = await mixingCompanion(files.mixing, smoothing.features, standard, answers, refuse);
    companions.push(mixing.companion);
    expose.push(...mixing.expose);
  }
  const { certificate } = smoothing;
  let voterLogits: string | undefined;
  if (certificate !== 'none' && certificate.kind === 'randomized-smoothing') {
    voterLogits = files.voter === undefined ? ROBUST_LOGITS : VOTER_LOGITS;
    if (files.voter !== undefined) {
      const voter = await findClassifier(files.voter, 'robust.logits', logits, standard, refuse);
      companions.push({
        file: files.voter,
        feeds: voter.feeds,
        rescaling,
        answers: { [VOTER_LOGITS]: voter.logits },
      });
    }
  }
  return {
    config: smoothing,
    companions,
    expose,
    robustLogits: ROBUST_LOGITS,
    gamma: files.mixing === undefined ? undefined : GAMMA,
    voterLogits,
  };
}

type Answers = Record<string, string>;
type Refuse = (why: string) => BallastError;

/** From pictures as the classifier takes them, (pixel - mean) / std, to those with the robust one's mean and std. */
function rescalingOf({ inputs, robust }: ModelConfig, refuse: Refuse): Rescaling | undefined {
  if (robust?.mean === undefined && robust?.std === undefined) return undefined;
  const images = Object.values(inputs).filter((input) => input.kind === 'image');
  if (images.length !== 1 || Object.keys(inputs).length !== 1) {
    throw refuse('robust.mean and robust.std need one input, of kind image.');
  }
  const [{ mean, std, layout }] = images;
  const { mean: robustMean = mean, std: robustStd = std } = robust;
  const channels = Array.from({
    length: Math.max(...[mean, std, robustMean, robustStd].map((m) => m.length)),
  });
  const of = (values: readonly number[], channel: number): number => values[channel] ?? values[0];
  return {
    scale: channels.map((_, channel) => of(std, channel) / of(robustStd, channel)),
    offset: channels.map(
      (_, channel) => (of(mean, channel) - of(robustMean, channel)) / of(robustStd, channel),
    ),
    layout,
  };
}

async function inspectFile(file: string, refuse: Refuse, logits?: string): Promise<ModelInspection> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch {
    throw refuse(`${basename(file)}, which model.yaml names, cannot be read.`);
  }
  return inspectModel(bytes, { logits });
}

async function findClassifier(
  file: string,
  key: string,
  named: string | undefined,
  standard: ModelInspection,
  refuse: Refuse,
): Promise<{ logits: string; feeds: Record<string, string> }> {
  const found = await inspectFile(file, refuse, named);
  const logits = named ?? found.logits;
  if (logits === undefined) {
    throw refuse(`no logits were found in ${basename(file)}; name their tensor as ${key} in model.yaml.`);
  }
  if (found.classes !== undefined && standard.classes !== undefined && found.classes !== standard.classes) {
    throw refuse(
      `the classifier answers ${standard.classes} classes and ${basename(file)} ${found.classes}; they must be the same.`,
    );
  }
  const feeds: Record<string, string> = {};
  for (const { name, dims } of found.inputs) {
    const single = found.inputs.length === 1 && standard.inputs.length === 1;
    const source = single ? standard.inputs[0] : standard.inputs.find((input) => input.name === name);
    const fits =
      source?.dims.length === dims.length &&
      dims.every((dim, axis) => dim < 0 || source.dims[axis] < 0 || dim === source.dims[axis]);
    if (source === undefined || !fits) {
      throw refuse(
        `the input "${name}" [${dims.join(', ')}] of ${basename(file)} is none that the classifier takes, ${standard.inputs.map((input) => `"${input.name}" [${input.dims.join(', ')}]`).join(', ')}.`,
      );
    }
    feeds[name] = source.name;
  }
  return { logits, feeds };
}

async function mixingCompanion(
  file: string,
  features: Readonly<Partial<Record<string, string>>>,
  standard: ModelInspection,
  robustAnswers: Answers,
  refuse: Refuse,
): Promise<{ companion: CompanionSpec; expose: string[] }> {
  const { inputs, outputs } = await inspectFile(file, refuse);
  const names = inputs.map(({ name }) => name);
  const unknown = Object.keys(features).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw refuse(
      `smoothing.features names "${unknown}"; the inputs of ${basename(file)} are ${quoted(names)}.`,
    );
  }
  if (outputs.length !== 1) {
    throw refuse(`${basename(file)} has ${outputs.length} outputs; a mixing network has one, gamma.`);
  }
  const expose: string[] = [];
  const feeds: Record<string, string> = {};
  for (const name of names) {
    const feature = features[name];
    if (feature === undefined) {
      if (!standard.inputs.some((input) => input.name === name)) {
        throw refuse(
          `the input "${name}" of ${basename(file)} has no source; name one in smoothing.features, for instance { ${name}: "standard:TENSOR" }.`,
        );
      }
      feeds[name] = name;
      continue;
    }
    const tensor = feature.slice(feature.indexOf(':') + 1);
    if (feature.startsWith('standard:')) {
      expose.push(tensor);
      feeds[name] = tensor;
    } else {
      robustAnswers[`ballast:robust:${tensor}`] = tensor;
      feeds[name] = `ballast:robust:${tensor}`;
    }
  }
  return { companion: { file, feeds, answers: { [GAMMA]: outputs[0].name } }, expose };
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
