import { BallastError } from '../errors.js';
import type { ModelConfig } from './model-config.js';
import type { FedImage } from './model-fit.js';

/** What makes a model one that `POST /v1/deepfake` can ask. */
export interface DeepfakeFit {
  /** The input that takes a face, by its name in model.yaml. */
  readonly input: readonly [string, FedImage];
  /** The class that stands for fake. */
  readonly fake: number;
}

/**
 * Whether model.yaml and the ONNX file make a deepfake model.
 * @param labels - one a class
 * @param images - the picture inputs
 * @returns undefined for a model of another task
 * @throws BallastError invalid-model where faces or verdict are given to another task, or the model has not one square
 *   colour input and two classes
 */
export function deepfakeOf(
  { name, task, faces, verdict }: ModelConfig,
  labels: readonly string[],
  images: ReadonlyMap<string, FedImage>,
): DeepfakeFit | undefined {
  const refuse = (why: string): BallastError => new BallastError('invalid-model', `Model "${name}": ${why}`);
  if (task !== 'deepfake') {
    if (faces === undefined && verdict === undefined) return undefined;
    throw refuse('faces and verdict are for models of task: deepfake.');
  }
  const [input] = images;
  if (images.size !== 1 || input[1].width !== input[1].height || input[1].channels === 'grey') {
    throw refuse(
      'a deepfake model takes exactly one input of kind image, square and in colour: an aligned face.',
    );
  }
  if (labels.length !== 2) {
    throw refuse(`a deepfake model answers two classes, real and fake; this one has ${labels.length}.`);
  }
  // GenD's classes are 0 real, 1 fake; labels may say otherwise.
  const named = labels.findIndex((label) => label.toLowerCase() === 'fake');
  return { input, fake: named < 0 ? 1 : named };
}
