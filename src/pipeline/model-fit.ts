import { BallastError } from '../errors.js';
import type { TensorSpec } from '../runtime/tensor.js';
import type { ImageInput, ModelConfig } from './model-config.js';
import type { ModelDefinition } from './model-file.js';

/** What is known of a classifier before model.yaml has its say. */
export interface Found {
  readonly logits?: string | undefined;
  readonly features?: { readonly name: string } | undefined;
}

/**
 * The tensors of logits and features: as model.yaml names them, else as they were found.
 * @throws BallastError invalid-model where there are no logits, or no features and LAME is asked for
 */
export function tensorsOf(
  { task, classifier, lame }: ModelConfig,
  found: Found,
  name: string,
): { logits?: string | undefined; features?: string | undefined } {
  if (task === 'raw') return {};
  const logits = classifier.logits ?? found.logits;
  if (logits === undefined) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": no logits were found in ${classifier.file ?? classifier.url}; name their tensor as classifier.logits in model.yaml.`,
    );
  }
  const features = classifier.features === 'auto' ? found.features?.name : classifier.features;
  if ((features === undefined || features === 'none') && lame !== undefined && lame.scope !== 'off') {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": LAME needs features, and none were found in ${classifier.file ?? classifier.url}; name their tensor as classifier.features in model.yaml, or leave lame out.`,
    );
  }
  return { logits, features: features === 'none' ? undefined : features };
}

/**
 * The picture inputs of model.yaml, by name, with the graph inputs that they feed.
 * @throws BallastError invalid-model where names or shapes do not fit the ONNX file
 */
export function imageInputs(
  { task, inputs }: ModelConfig,
  specs: readonly TensorSpec[],
  model: string,
): Map<string, ImageInput & { tensor: string }> {
  const images = new Map<string, ImageInput & { tensor: string }>();
  for (const [name, input] of Object.entries(inputs)) {
    const tensor = input.tensor ?? (specs.length === 1 ? specs[0].name : name);
    const spec = specs.find((candidate) => candidate.name === tensor);
    if (spec === undefined) {
      throw new BallastError(
        'invalid-model',
        `Model "${model}": input "${name}" feeds "${tensor}", which the ONNX file does not have; it has ${specs.map((candidate) => `"${candidate.name}"`).join(', ')}.`,
      );
    }
    if (input.kind !== 'image') continue;
    checkImageShape(name, input, spec, model);
    images.set(name, { ...input, tensor });
  }
  if (task === 'classification' && images.size < specs.length) {
    const missing = specs.filter(({ name }) => ![...images.values()].some(({ tensor }) => tensor === name));
    throw new BallastError(
      'invalid-model',
      `Model "${model}": nothing in model.yaml feeds ${missing.map(({ name }) => `"${name}"`).join(', ')}; add an input of kind image, or make it task: raw.`,
    );
  }
  return images;
}

function checkImageShape(name: string, input: ImageInput, { dims }: TensorSpec, model: string): void {
  const { width, height, layout, channels } = input;
  const count = channels === 'grey' ? 1 : 3;
  const shape = layout === 'nchw' ? [count, height, width] : [height, width, count];
  if (dims.length !== 4 || shape.some((size, axis) => dims[axis + 1] > 0 && dims[axis + 1] !== size)) {
    throw new BallastError(
      'invalid-model',
      `Model "${model}": input "${name}" makes samples of [${shape.join(', ')}] (${layout}), and the ONNX file takes [${dims.map((dim) => (dim < 0 ? 'N' : dim)).join(', ')}]; mend width, height, layout or channels in model.yaml.`,
    );
  }
}

/**
 * Samples in one forward pass, at most: as model.yaml says, or one where the file was exported for single samples.
 * @throws BallastError invalid-model where the file was exported for another fixed size
 */
export function batchLimit({ batching }: ModelConfig, specs: readonly TensorSpec[], model: string): number {
  const fixed = specs.find(({ dims }) => dims[0] > 1);
  if (fixed !== undefined) {
    throw new BallastError(
      'invalid-model',
      `Model "${model}": "${fixed.name}" was exported for batches of exactly ${fixed.dims[0]}; export it with a dynamic batch axis.`,
    );
  }
  return specs.some(({ dims }) => dims[0] === 1) ? 1 : batching.maxBatchSize;
}

/** Shapes of one sample, for graph inputs whose file leaves them open. */
export function sampleShapes(
  { inputs }: ModelConfig,
  images: ReadonlyMap<string, ImageInput & { tensor: string }>,
): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input.kind === 'tensor') shapes[input.tensor ?? name] = input.shape;
  }
  for (const { tensor, layout, width, height, channels } of images.values()) {
    const count = channels === 'grey' ? 1 : 3;
    shapes[tensor] = layout === 'nchw' ? [count, height, width] : [height, width, count];
  }
  return shapes;
}

/**
 * One label a class: as model.yaml gives them, else the class's index.
 * @throws BallastError invalid-model where their number is not the model's number of classes
 */
export function labelsOf(
  { name, labels, config }: ModelDefinition,
  classes: number | undefined,
): readonly string[] {
  if (config.task === 'raw') return [];
  if (labels !== undefined && classes !== undefined && labels.length !== classes) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": model.yaml gives ${labels.length} labels, and the model answers ${classes} classes.`,
    );
  }
  return labels ?? Array.from({ length: classes ?? 0 }, (_, index) => String(index));
}
