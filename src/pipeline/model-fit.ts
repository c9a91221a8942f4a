import { BallastError } from '../errors.js';
import { AudioDecoder } from '../runtime/audio/audio.js';
import { ImageDecoder } from '../runtime/image.js';
import type { TensorSpec } from '../runtime/tensor.js';
import type { AudioInput } from './audio-config.js';
import type { ImageInput, ModelConfig } from './model-config.js';
import type { ModelDefinition } from './model-file.js';
import type { DecodedInput } from './stages/decode.js';

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

/** An input of model.yaml that takes encoded files, with the graph input that it feeds. */
export type FileInput = (ImageInput | AudioInput) & { readonly tensor: string };

/** A picture input, with the graph input that it feeds. */
export type FedImage = ImageInput & { readonly tensor: string };

/**
 * The inputs of model.yaml that take encoded files, by name.
 * @throws BallastError invalid-model where names or shapes do not fit the ONNX file
 */
export function fileInputs(
  { task, inputs }: ModelConfig,
  specs: readonly TensorSpec[],
  model: string,
): Map<string, FileInput> {
  const found = new Map<string, FileInput>();
  for (const [name, input] of Object.entries(inputs)) {
    const tensor = input.tensor ?? (specs.length === 1 ? specs[0].name : name);
    const spec = specs.find((candidate) => candidate.name === tensor);
    if (spec === undefined) {
      throw new BallastError(
        'invalid-model',
        `Model "${model}": input "${name}" feeds "${tensor}", which the ONNX file does not have; it has ${specs.map((candidate) => `"${candidate.name}"`).join(', ')}.`,
      );
    }
    if (input.kind === 'tensor') continue;
    if (input.kind === 'image') checkImageShape(name, input, spec, model);
    else checkAudioShape(name, input, spec, model);
    found.set(name, { ...input, tensor });
  }
  if (task !== 'raw' && found.size < specs.length) {
    const missing = specs.filter(({ name }) => ![...found.values()].some(({ tensor }) => tensor === name));
    throw new BallastError(
      'invalid-model',
      `Model "${model}": nothing in model.yaml feeds ${missing.map(({ name }) => `"${name}"`).join(', ')}; add an input of kind image or audio, or make it task: raw.`,
    );
  }
  return found;
}

/** Those that take pictures. */
export function imagesAmong(inputs: ReadonlyMap<string, FileInput>): Map<string, FedImage> {
  return new Map([...inputs].filter((entry): entry is [string, FedImage] => entry[1].kind === 'image'));
}

/** What decodes the files of each input. */
export function decodersOf(inputs: ReadonlyMap<string, FileInput>): Map<string, DecodedInput> {
  return new Map(
    [...inputs].map(([name, input]) => [
      name,
      {
        tensor: input.tensor,
        decoder: input.kind === 'image' ? new ImageDecoder(input) : new AudioDecoder(input),
      },
    ]),
  );
}

function checkAudioShape(name: string, input: AudioInput, { dims }: TensorSpec, model: string): void {
  const shape = new AudioDecoder(input).sampleShape;
  if (
    dims.length === shape.length + 1 &&
    shape.every((size, axis) => dims[axis + 1] < 0 || dims[axis + 1] === size)
  ) {
    return;
  }
  throw new BallastError(
    'invalid-model',
    `Model "${model}": input "${name}" makes samples of [${shape.join(', ')}], and the ONNX file takes [${dims.map((dim) => (dim < 0 ? 'N' : dim)).join(', ')}]; mend seconds, features or their layout in model.yaml.`,
  );
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
  files: ReadonlyMap<string, FileInput>,
): Record<string, readonly number[]> {
  const shapes: Record<string, readonly number[]> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input.kind === 'tensor') shapes[input.tensor ?? name] = input.shape;
  }
  for (const { decoder, tensor } of decodersOf(files).values()) shapes[tensor] = decoder.sampleShape;
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
