import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BallastError } from '../errors.js';
import type { LoadedModel } from '../pipeline/loaded-model.js';
import { lameSchema, type LameConfig } from '../pipeline/model-config.js';
import { readModelFile, type ModelDefinition } from '../pipeline/model-file.js';
import { fileInputs, imagesAmong, type FedImage } from '../pipeline/model-fit.js';
import { openAlone } from '../pipeline/open-alone.js';
import { closestNames } from '../runtime/onnx/closest-names.js';
import type { ProviderChoice } from '../runtime/providers.js';
import type { MethodPart } from './method.js';

/** A model that is measured: loaded as a server loads it. */
export interface EvaluatedModel {
  readonly definition: ModelDefinition;
  readonly served: LoadedModel;
  /** The one input, which takes pictures. */
  readonly input: FedImage;
  /** LAME as model.yaml has it, or with its defaults. */
  readonly lame: LameConfig;
  /** The same with `window: auto`, where this version of Ballast knows that. */
  readonly lameAuto: LameConfig | undefined;
  /** For each part that the model does not have, why. */
  readonly lacking: ReadonlyMap<MethodPart, string>;
  /** What is measured where nobody says: the parts that model.yaml has. */
  readonly configured: readonly MethodPart[];
  /** SHA-256 of what model.yaml says of answers, of the files that it names and of the active prompt. */
  readonly digest: string;
}

/**
 * Opens a model to measure it.
 * @param models - folder of models
 * @param remoteHosts - hosts that a remote classifier may be on
 * @throws BallastError unknown-model, with the models that there are; invalid-model as LoadedModel.open; impossible
 *   where it is no classifier of pictures with a single input
 */
export async function openEvaluatedModel(
  models: string,
  name: string,
  provider: ProviderChoice,
  remoteHosts: readonly string[] = [],
): Promise<EvaluatedModel> {
  const found = await findModel(models, name);
  // Nobody watches for drift here, and the reference may be what is to be made anew.
  const definition = { ...found, files: without(found.files, 'reference') };
  const { config } = definition;
  if (config.task === 'raw') {
    throw new BallastError('impossible', `Model "${name}" is of task raw; only classifiers can be measured.`);
  }
  const served = await openAlone(definition, provider, remoteHosts);
  try {
    const files = fileInputs(config, served.inputs, name);
    const [input, ...more] = imagesAmong(files).values();
    if (files.size !== 1 || more.length > 0 || served.inputs.length !== 1) {
      throw new BallastError(
        'impossible',
        `Model "${name}" takes ${served.inputs.map((spec) => `"${spec.name}"`).join(', ')}; ballast eval measures models with one input, of kind image.`,
      );
    }
    const lame = config.lame ?? lameSchema.parse({});
    const auto = lameSchema.safeParse({ ...lame, window: 'auto' });
    const lameAuto = auto.success ? auto.data : undefined;
    const active = await activePrompt(served);
    const lacking = lackingParts(served, lameAuto !== undefined, active !== undefined);
    const configured: MethodPart[] = [
      ...(config.lame === undefined ? [] : (['lame'] as const)),
      ...(config.lame === undefined || isAuto(lame) ? [] : (['lame-auto'] as const)),
      ...(['smoothing', 'prompt'] as const),
    ];
    return {
      ...{ definition, served, input, lame, lameAuto, lacking },
      configured: configured.filter((part) => !lacking.has(part)),
      digest: await digestOf(definition, active),
    };
  } catch (error) {
    await served.close();
    throw error;
  }
}

async function findModel(models: string, name: string): Promise<ModelDefinition> {
  const folders = await readdir(models).catch(() => undefined);
  if (folders === undefined) {
    throw new BallastError(
      'invalid-input',
      `The folder of models ${models} cannot be read; name it with --models.`,
    );
  }
  const held = await Promise.all(
    folders.toSorted().map(async (folder) => {
      const children = await readdir(join(models, folder)).catch(() => [] as string[]);
      return children.includes('model.yaml') ? [folder] : [];
    }),
  );
  const names = held.flat();
  if (names.includes(name)) return readModelFile(join(models, name), name, '1');
  const near = closestNames(name, names, 1).at(0);
  throw new BallastError(
    'unknown-model',
    `There is no model "${name}" in ${models}${near === undefined ? '' : `; did you mean "${near}"?`} The models are ${names.join(', ') || 'none'}.`,
  );
}

async function activePrompt(served: LoadedModel): Promise<string | undefined> {
  const versions = await served.prompts?.list();
  return versions?.find(({ active }) => active)?.version;
}

function lackingParts(
  { config, tensors }: LoadedModel,
  auto: boolean,
  prompted: boolean,
): Map<MethodPart, string> {
  const lacking = new Map<MethodPart, string>();
  if (tensors.features === undefined) {
    for (const part of ['lame', 'lame-auto'] as const) {
      lacking.set(part, 'no features were found; name their tensor as classifier.features in model.yaml.');
    }
  }
  if (!auto) lacking.set('lame-auto', 'this version of Ballast has no lame.window: auto.');
  if (config.smoothing === undefined) {
    lacking.set(
      'smoothing',
      'the model has no robust classifier; robust and smoothing in model.yaml give it one.',
    );
  }
  if (!prompted) {
    lacking.set('prompt', 'the model has no active prompt; ballast fit --images makes one.');
  }
  return lacking;
}

function isAuto({ window }: { readonly window: unknown }): boolean {
  return window === 'auto';
}

async function digestOf(
  { config, labels, files }: ModelDefinition,
  prompt: string | undefined,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([without(config, 'monitor'), labels]));
  for (const path of Object.values(files as Record<string, string>)) {
    // Scales and shifts may not have been fitted yet.
    const bytes = await readFile(path).catch(() => Buffer.from('none'));
    hash.update(`${bytes.length}\n`).update(bytes);
  }
  return hash.update(prompt ?? 'off').digest('hex');
}

function without<T extends object, K extends keyof T>(all: T, key: K): Omit<T, K> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== key)) as Omit<T, K>;
}
