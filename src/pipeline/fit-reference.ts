import { driftReference, type DriftReference } from '../adapt/feature-drift.js';
import { BallastError } from '../errors.js';
import { stackRows } from '../runtime/matrix.js';
import type { Matrix } from '../runtime/tensor.js';
import type { ServedModel } from './serving.js';

const BATCH = 32;

/**
 * Makes a reference for drift out of pictures like those that the model was evaluated on. They go through the model
 * as requests do, with the prompt that is active.
 * @param model - with one input, of pictures
 * @param pictures - encoded, 64 at least
 * @throws BallastError impossible where the model has several inputs or no features; as ServedModel.predict and
 *   driftReference
 */
export async function fitReference(
  model: Pick<ServedModel, 'name' | 'config' | 'predict'>,
  pictures: readonly Uint8Array[],
  { seed, onProgress = () => undefined }: { seed: number; onProgress?: (share: number) => void },
): Promise<DriftReference> {
  const inputs = Object.keys(model.config.inputs);
  if (inputs.length !== 1) {
    throw new BallastError(
      'impossible',
      `Model "${model.name}" has ${inputs.length} inputs; a reference is made of models with one, of kind image.`,
    );
  }
  const [input] = inputs;
  const batches: Matrix[] = [];
  for (let begin = 0; begin < pictures.length; begin += BATCH) {
    const part = pictures.slice(begin, begin + BATCH);
    // Features are there for LAME alone.
    const result = await model.predict({ [input]: part }, { lame: true, smoothing: false });
    if (result.features === undefined) {
      throw new BallastError(
        'impossible',
        `Model "${model.name}" serves without features, so it can have no reference; name their tensor as classifier.features in model.yaml.`,
      );
    }
    batches.push(result.features);
    onProgress((begin + part.length) / pictures.length);
  }
  return driftReference(stackRows(batches), { seed });
}
