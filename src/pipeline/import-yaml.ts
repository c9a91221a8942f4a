import type { ModelInspection } from '../runtime/onnx/inspect.js';
import { datatypeOf, guessImage, type GuessedImage } from './import-input.js';

/** What model.yaml is written from. */
export interface ImportedModel {
  readonly name: string;
  /** The ONNX file, by its name in the model's folder. */
  readonly file: string;
  /** The labels, by the name of their file in the model's folder. */
  readonly labels?: string;
  readonly inspection: ModelInspection;
}

/**
 * Writes a model's model.yaml, with a comment on everything that was guessed.
 * @returns the text; see model-config.ts for what the keys mean
 */
export function modelYaml(model: ImportedModel): string {
  const { name, file, inspection } = model;
  const image = guessImage(inspection);
  const lines = [
    `# Written by "ballast import" from ${file}: ${summaryOf(inspection)}.`,
    `name: ${scalar(name)}`,
    ...(image && inspection.logits !== undefined ? classification(model, image) : raw(model)),
  ];
  return lines.join('\n') + '\n';
}

/** Who made a model and how large it is, in a line. */
export function summaryOf({ producer, opset, parameters }: ModelInspection): string {
  const count = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(
    parameters,
  );
  return `${oneLine(producer === '' ? 'unknown producer' : producer)}, opset ${opset}, ${count} parameters`;
}

/** A shape as people write it. */
export function shapeOf(dims: readonly number[] | undefined): string {
  if (!dims || dims.length === 0) return '';
  return `[${dims.map((size, axis) => (size < 0 ? (axis === 0 ? 'N' : '?') : size)).join(', ')}]`;
}

function classification({ file, labels, inspection }: ImportedModel, image: GuessedImage): string[] {
  const { logits, features, classes } = inspection;
  return [
    'task: classification',
    labels === undefined
      ? `# labels: labels.txt   # a file with ${classes ?? 'K'} lines, a label a line, in the order of the classes`
      : `labels: ${scalar(labels)}`,
    'inputs:',
    '  image:',
    ...imageLines(image).map((line) => `    ${line}`),
    'classifier:',
    `  file: ${scalar(file)}`,
    `  logits: ${scalar(logits ?? '')}${classes === undefined ? '' : `   # ${classes} classes`}`,
    ...(features
      ? [
          `  features: auto   # found: ${oneLine(features.name)} ${shapeOf(features.dims)}`.trimEnd(),
          '# Test-time adaptation; samples of one request are adapted together. scope: stream adapts named streams only.',
          'lame: { affinity: knn, k: 5, scope: request }',
        ]
      : [
          '  # No features were found, so LAME is left out. To have it, name the tensor that the last layer reads here,',
          '  # and add the line:  lame: { affinity: knn, k: 5, scope: request }',
          '  features: none',
        ]),
  ];
}

function imageLines(image: GuessedImage): string[] {
  const { tensor, width, height, layout, channels, fit, mean, std, statistics, anySize } = image;
  return [
    'kind: image',
    ...(tensor === 'image' ? [] : [`tensor: ${scalar(tensor)}`]),
    ...(anySize
      ? ['# The model takes other sizes as well; it works best at the one that it was trained at.']
      : []),
    `width: ${width}`,
    `height: ${height}`,
    '# cover: resize, then crop the centre, as most classifiers are evaluated. fill: stretch. contain: pad with black.',
    `fit: ${fit}`,
    ...(layout === 'nchw' ? [] : [`layout: ${layout}`]),
    ...(channels === 'rgb' ? [] : [`channels: ${channels}`]),
    `# A guess: the mean and deviation of ${statistics}, of pixels scaled to [0, 1]. Check what the model was trained with;`,
    '# wrong ones cost accuracy without any error.',
    `mean: [${mean.join(', ')}]`,
    `std: [${std.join(', ')}]`,
  ];
}

function raw({ file, inspection }: ImportedModel): string[] {
  const { inputs, logits } = inspection;
  return [
    '# Tensors in, tensors out, over the Open Inference Protocol: this does not look like a classifier of pictures.',
    ...(logits === undefined ? [] : [`# Its logits may be ${scalar(oneLine(logits))}.`]),
    'task: raw',
    'inputs:',
    '  # shape is that of one sample, without the batch axis; -1 may vary.',
    ...inputs.map((input) => {
      const shape = input.dims.slice(1).join(', ');
      return `  ${scalar(input.name)}: { kind: tensor, shape: [${shape}], dtype: ${datatypeOf(input)} }`;
    }),
    'classifier:',
    `  file: ${scalar(file)}`,
  ];
}

/** Text as a YAML scalar: as it is where YAML reads it as the same text, else in JSON's quotes, which YAML knows. */
function scalar(text: string): string {
  const plain = /^[A-Za-z_][\w./-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

/** Text from a model's file as part of a comment, which ends with the line. */
function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what must go
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
}
