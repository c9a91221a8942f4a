import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import type { DriftReference } from '../adapt/feature-drift.js';
import { BallastError, messageOf } from '../errors.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import { readSafetensors, writeSafetensors } from '../runtime/safetensors.js';
import type { TensorSpec } from '../runtime/tensor.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import { readModelBytes } from './model-bytes.js';
import type { ModelDefinition } from './model-file.js';

/** The name of a reference in a model's folder, where model.yaml has not named another. */
export const REFERENCE_FILE = 'reference.safetensors';

const MEAN = 'mean';

/** The numbers of a reference, as texts of the file's metadata. */
const metadataSchema = z.object({
  features: z.coerce.number().int().min(1),
  bandwidth: z.coerce.number().positive(),
  seed: z.coerce.number().int(),
  samples: z.coerce.number().int().min(2),
  window: z.coerce.number().int().min(2).max(65_536),
  threshold: z.coerce.number().positive(),
});

/**
 * Writes a reference, whole or not at all.
 * @param path - of a safetensors file: the mean embedding `[R]` in float64, the numbers as metadata
 * @throws BallastError unavailable where it cannot be written
 */
export async function writeReference(path: string, { mean, ...numbers }: DriftReference): Promise<void> {
  const metadata = Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, String(value)]));
  const tensors = new Map([[MEAN, { shape: [mean.length], data: mean }]]);
  await writeAtomically(path, writeSafetensors({ tensors, metadata }));
}

/**
 * Reads a reference.
 * @throws BallastError invalid-model where the file is missing, or is none
 */
export async function readReference(path: string): Promise<DriftReference> {
  const file = basename(path);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new BallastError(
      'invalid-model',
      `${file} cannot be read: ${messageOf(error)}. Make it, or take monitor out of model.yaml.`,
      { cause: error },
    );
  });
  try {
    const { tensors, metadata } = readSafetensors(bytes, file);
    const mean = tensors.get(MEAN)?.data;
    const numbers = metadataSchema.safeParse(metadata);
    if (!numbers.success) {
      throw new Error(`its metadata is wrong at "${numbers.error.issues[0].path.join('.')}"`);
    }
    if (!(mean instanceof Float64Array) || mean.length < 2 || mean.length % 2 > 0) {
      throw new Error(`its tensor "${MEAN}" must be F64 with an even number of values`);
    }
    if (!mean.every(Number.isFinite))
      throw new Error(`its tensor "${MEAN}" holds a value that is not finite`);
    return { ...numbers.data, mean };
  } catch (error) {
    throw new BallastError('invalid-model', `${file} is no reference for drift: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * The reference that model.yaml names, checked against the model's features as far as their size is known.
 * @param tensors - the model's tensor of features
 * @param outputs - the model's own outputs
 * @returns undefined where model.yaml names none
 * @throws BallastError invalid-model where the file is missing, is none or is for features of another size, or the
 *   model has no features
 */
export async function referenceOf(
  definition: ModelDefinition,
  { features }: { readonly features?: string | undefined },
  outputs: readonly TensorSpec[],
): Promise<DriftReference | undefined> {
  const { files, name } = definition;
  if (files.reference === undefined) return undefined;
  if (features === undefined) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": monitor.reference needs features, and the model serves without; name their tensor as classifier.features in model.yaml, or leave monitor out.`,
    );
  }
  const reference = await readReference(files.reference);
  const size = await featureSize(definition, features, outputs);
  if (size !== undefined && size !== reference.features) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": monitor.reference, ${basename(files.reference)}, is for features of ${reference.features} numbers, and those of the model have ${size}; make it anew with this classifier.`,
    );
  }
  return reference;
}

/** D of the features, as far as the file or the remote says. */
async function featureSize(
  { config, files }: ModelDefinition,
  features: string,
  outputs: readonly TensorSpec[],
): Promise<number | undefined> {
  let dims: readonly number[] | undefined = outputs.find((output) => output.name === features)?.dims;
  if (files.classifier !== undefined && dims === undefined) {
    const bytes = await readModelBytes(files.classifier);
    const found = inspectModel(bytes, { logits: config.classifier.logits }).features;
    if (found?.name === features) dims = found.dims;
  }
  // Maps are pooled over their places, and sequences over their tokens: see toMatrix.
  const size = dims?.length === 3 ? dims[2] : dims?.[1];
  return size === undefined || size < 1 ? undefined : size;
}

/** The text of a model.yaml that names a reference; comments and all other keys stay. */
export function withReference(text: string, file: string = REFERENCE_FILE): string {
  const document = parseDocument(text);
  document.setIn(['monitor'], document.createNode({ reference: file }, { flow: true }));
  return document.toString({ lineWidth: 120 });
}

/**
 * Puts a reference into a model's folder and names it in its model.yaml.
 * @param folder - where model.yaml is
 * @returns the reference's path
 * @throws BallastError unavailable where a file cannot be written
 */
export async function installReference(folder: string, reference: DriftReference): Promise<string> {
  const path = join(folder, REFERENCE_FILE);
  await writeReference(path, reference);
  const file = join(folder, 'model.yaml');
  await writeAtomically(file, withReference(await readFile(file, 'utf8')));
  return path;
}
