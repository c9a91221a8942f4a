import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, extname, join } from 'node:path';
import { fitModulation, modulationOfParameters } from '../adapt/fit-modulation.js';
import { beats, type FitProgress, type FitPromptOptions } from '../adapt/fit-prompt.js';
import { BallastError } from '../errors.js';
import { toMatrix } from '../runtime/matrix.js';
import { inspectModulation } from '../runtime/onnx/insert-modulation.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import type { ProviderChoice } from '../runtime/providers.js';
import { readSafetensors, writeSafetensors, type FloatTensor } from '../runtime/safetensors.js';
import { Session } from '../runtime/session.js';
import { BETWEEN_LAYERS } from '../runtime/thread-plan.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import { readLabelledFolder } from './labelled-folder.js';
import { readModelBytes } from './model-bytes.js';
import { readModelFile } from './model-file.js';
import { decodersOf, fileInputs, labelsOf, tensorsOf } from './model-fit.js';
import { ModulationSets } from '../adapt/modulation.js';
import { DecodeStage } from './stages/decode.js';

/** What `ballast fit --modulation` is asked for. */
export interface FitModulationFolderOptions {
  readonly modelsDir: string;
  readonly model: string;
  /** A folder for each modality that arrives, in it one for each class. */
  readonly samples: string;
  /** The inputs that arrive. */
  readonly combination: readonly string[];
  readonly provider: ProviderChoice;
  readonly fit: FitPromptOptions;
  readonly onProgress?: (progress: FitProgress) => void;
}

/**
 * Learns the scales and shifts of one combination from labelled samples, and writes them into the model's sets where
 * they beat the network without them on the validation share.
 * @returns a sentence for people
 * @throws BallastError as readModelFile, readLabelledFolder and fitModulation; invalid-input where the combination is
 *   none, or samples of several modalities do not go together
 */
export async function fitModulationFolder(options: FitModulationFolderOptions): Promise<string> {
  const { modelsDir, model: name, combination, provider, fit, onProgress } = options;
  const definition = await readModelFile(join(modelsDir, name), name, '1');
  const { config, files } = definition;
  if (files.classifier === undefined || files.modulation === undefined) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}" needs a classifier with a file, and modulation.sets in its model.yaml to say where the sets go.`,
    );
  }
  const modalities = Object.keys(config.inputs);
  const unknown = combination.find((modality) => !modalities.includes(modality));
  if (unknown !== undefined || combination.length === 0 || combination.length === modalities.length) {
    throw new BallastError(
      'invalid-input',
      `--arrived is ${combination.join(',')}; it names some, and not all, of the inputs ${modalities.join(', ')}.`,
    );
  }
  const bytes = await readModelBytes(files.classifier);
  const found = inspectModel(bytes, { logits: config.classifier.logits });
  const { logits } = tensorsOf({ ...config, lame: undefined }, found, name);
  const labels = labelsOf(definition, found.classes);
  const decode = new DecodeStage(decodersOf(fileInputs(config, found.inputs, name)), {
    allowed: true,
    brokenIsMissing: false,
  });
  const listed = await pairedSamples(options.samples, combination, labels);
  const encoded = Object.fromEntries(
    combination.map((modality) => [modality, listed.map(({ paths }) => readFile(paths[modality]))]),
  );
  const read = await Promise.all(
    Object.entries(encoded).map(async ([key, all]) => [key, await Promise.all(all)] as const),
  );
  const { tensors } = await decode.decode(Object.fromEntries(read), listed.length);
  const before = await readFile(files.modulation).catch(() => undefined);
  const known = before && ModulationSets.read(before, basename(files.modulation)).layers;
  const { layers } = inspectModulation(bytes, known === undefined ? {} : { layers: known });
  const session = await Session.open({
    file: files.classifier,
    expose: [logits!],
    modulate: layers.map((layer) => layer.name),
    providers: config.providers ?? [provider],
    threads: availableParallelism(),
    spinMicroseconds: BETWEEN_LAYERS,
  });
  try {
    const { base, best, queries } = await fitModulation({
      layers,
      samples: tensors,
      labels: Uint32Array.from(listed, ({ label }) => label),
      classify: async (inputs) => toMatrix((await session.run(inputs, [logits!]))[logits!], 'logits'),
      options: fit,
      ...(onProgress && { onProgress }),
    });
    const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
    const told = `${percent(base.accuracy)} of the validation share right without scales and shifts, ${percent(best.accuracy)} with them, after ${queries} queries`;
    if (!beats(best, base)) return `${told}; they do not help, so nothing was written.`;
    // Read again: another fit may have written its set meanwhile.
    const now = await readFile(files.modulation).catch(() => undefined);
    const kept = new Map<string, FloatTensor>(now ? readSafetensors(now, 'sets').tensors : []);
    const key = [...combination].sort().join(',');
    for (const [layer, { gamma, beta }] of modulationOfParameters(layers, best.parameters)) {
      kept.set(`${key}:${layer}.gamma`, { shape: [gamma.length], data: gamma });
      kept.set(`${key}:${layer}.beta`, { shape: [beta.length], data: beta });
    }
    await writeAtomically(files.modulation, writeSafetensors({ tensors: kept, metadata: {} }));
    return `${told}; written to ${files.modulation}.`;
  } finally {
    await session.release();
  }
}

interface PairedSample {
  readonly label: number;
  readonly paths: Readonly<Record<string, string>>;
}

/** Samples of which every modality of the combination is there: files of one name, without its ending, in one class. */
async function pairedSamples(
  folder: string,
  combination: readonly string[],
  labels: readonly string[],
): Promise<PairedSample[]> {
  const lists = await Promise.all(
    combination.map(async (modality) => {
      const listed = await readLabelledFolder(join(folder, modality), labels);
      return new Map(
        listed.map(({ path, label }) => [`${label}/${basename(path, extname(path))}`, { path, label }]),
      );
    }),
  );
  const [first] = lists;
  return [...first].map(([key, { label }]) => {
    const paths = combination.map((modality, i) => {
      const found = lists[i].get(key);
      if (found !== undefined) return [modality, found.path] as const;
      throw new BallastError(
        'invalid-input',
        `${join(folder, modality)} has nothing that goes with ${first.get(key)!.path}; the files of a sample have one name in the folders of one class.`,
      );
    });
    return { label, paths: Object.fromEntries(paths) };
  });
}
