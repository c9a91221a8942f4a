import type { ModelInspection } from '../runtime/onnx/inspect.js';
import type { TensorSpec, TensorType } from '../runtime/tensor.js';
import type { ModelConfig } from './model-config.js';

type Inputs = ModelConfig['inputs'];
type Image = Extract<Inputs[string], { kind: 'image' }>;

/** A picture input as it was guessed from its shape, and which of it is a guess. */
export interface GuessedImage {
  readonly tensor: string;
  readonly width: number;
  readonly height: number;
  readonly layout: Image['layout'];
  readonly channels: Image['channels'];
  readonly fit: Image['fit'];
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Whose mean and std these are. */
  readonly statistics: string;
  /** Whether the model leaves width and height open. */
  readonly anySize: boolean;
}

/** Mean and deviation of well-known training sets, of pixels scaled to [0, 1]. */
const STATISTICS = {
  cifar: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616], statistics: 'CIFAR-10' },
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], statistics: 'ImageNet' },
  mnist: { mean: [0.1307], std: [0.3081], statistics: 'MNIST' },
  grey: { mean: [0.5], std: [0.5], statistics: 'pixels between -1 and 1' },
};

/** What most networks for pictures of any size were trained with. */
const USUAL_SIZE = 224;

/** Sizes up to this are small pictures shown whole; larger ones are photographs, whose edges can go. */
const SMALL = 64;

/**
 * Guesses how a picture becomes the model's input.
 * @returns undefined where the model does not take pictures: several inputs, or one that is no `[N, C, H, W]` or
 *   `[N, H, W, C]` of real numbers with one or three channels
 */
export function guessImage({ inputs }: ModelInspection): GuessedImage | undefined {
  const [input] = inputs;
  if (inputs.length !== 1 || input.dims.length !== 4 || !isReal(input.type)) return undefined;
  const [, first, second, third] = input.dims;
  const layout = isChannels(first) || !isChannels(third) ? 'nchw' : 'nhwc';
  const [count, height, width] = layout === 'nchw' ? [first, second, third] : [third, first, second];
  if (count > 0 && !isChannels(count)) return undefined;
  const size = { width: width > 0 ? width : USUAL_SIZE, height: height > 0 ? height : USUAL_SIZE };
  return {
    tensor: input.name,
    ...size,
    layout,
    channels: count === 1 ? 'grey' : 'rgb',
    fit: Math.max(size.width, size.height) <= SMALL ? 'fill' : 'cover',
    ...statisticsFor(count, size),
    anySize: width < 0 || height < 0,
  };
}

function statisticsFor(channels: number, { width, height }: { width: number; height: number }) {
  if (channels === 1) return width === 28 && height === 28 ? STATISTICS.mnist : STATISTICS.grey;
  return width === 32 && height === 32 ? STATISTICS.cifar : STATISTICS.imagenet;
}

function isChannels(size: number): boolean {
  return size === 1 || size === 3;
}

function isReal(type: TensorType): boolean {
  return type === 'float32' || type === 'float16';
}

/** The Open Inference Protocol's name of an element type, in lower case. */
export function datatypeOf({ type }: TensorSpec): string {
  if (type === 'string') return 'bytes';
  return type.replace('float', 'fp');
}
