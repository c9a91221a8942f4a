import { driftReference } from '../adapt/feature-drift.js';
import { BallastError } from '../errors.js';
import { installReference } from '../pipeline/drift-reference.js';
import type { EvaluatedModel } from './evaluated-model.js';
import { runForwardPass } from './forward-pass.js';
import type { DecodedPictures, LevelDecoder } from './pictures.js';

/**
 * Writes what the served features are compared with from now on (`ballast_feature_drift`): those of the clean pictures,
 * under the active prompt, into the model's folder, and names the file in model.yaml.
 * @throws BallastError impossible where the model has no features; invalid-input for fewer than 64 pictures; as
 *   installReference
 */
export async function referModel(
  { definition, served }: EvaluatedModel,
  { levels }: DecodedPictures,
  decoder: LevelDecoder,
  { seed, signal, onSamples }: { seed: number; signal: AbortSignal; onSamples: (samples: number) => void },
): Promise<void> {
  const front = { smoothing: false, prompt: true };
  const { features } = await runForwardPass(
    served,
    front,
    levels.length,
    (begin, end) => decoder.tensor(levels.slice(begin, end)),
    { onSamples, signal },
  );
  if (features === undefined) {
    throw new BallastError(
      'impossible',
      `Model "${definition.name}" serves without features, so there is nothing to compare; name their tensor as classifier.features in model.yaml.`,
    );
  }
  await installReference(definition.folder, driftReference(features, { seed }));
}
