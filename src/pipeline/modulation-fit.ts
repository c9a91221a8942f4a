import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { ModulationSets, type ModulatedLayer } from '../adapt/modulation.js';
import { BallastError, messageOf } from '../errors.js';
import { inspectModulation } from '../runtime/onnx/insert-modulation.js';
import type { ModelDefinition } from './model-file.js';

/** The scale-and-shift sets of a model, and the layers that they change. */
export interface ModulationFit {
  readonly sets: ModulationSets;
  readonly layers: readonly ModulatedLayer[];
}

/**
 * Finds out how the sets of `modulation` in model.yaml fit the network.
 * @param network - its ONNX file
 * @returns undefined where model.yaml has none
 * @throws BallastError invalid-model where the file of sets is none, or does not fit the graph or the inputs
 */
export async function modulationOf(
  { config, files, name }: ModelDefinition,
  network: Uint8Array,
): Promise<ModulationFit | undefined> {
  if (config.modulation === undefined || files.modulation === undefined) return undefined;
  const modalities = Object.keys(config.inputs);
  if (modalities.length < 2) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": modulation is for models with several inputs, and this one has ${modalities.length}.`,
    );
  }
  const file = files.modulation;
  const bytes = await readFile(file).catch((error: unknown) => {
    // Not fitted yet: what is missing is fed as zeros, and the answers say so.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new BallastError('invalid-model', `${basename(file)} cannot be read: ${messageOf(error)}`);
  });
  if (bytes === undefined) return { sets: ModulationSets.none(), layers: [] };
  const sets = ModulationSets.read(bytes, basename(file));
  const { layers } = inspectModulation(network);
  sets.check(layers, modalities);
  const changed = new Set(sets.layers);
  return { sets, layers: layers.filter((layer) => changed.has(layer.name)) };
}
