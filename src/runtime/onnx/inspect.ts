import type { TensorSpec } from '../tensor.js';
import { findClassifier } from './classifier.js';
import { elementTypeName } from './element-types.js';
import { externalDataFiles } from './external-data.js';
import type { Features } from './features.js';
import { ModelView } from './model-view.js';
import type { ValueInfo } from './value-info.js';

/** What a model's file says of the model. */
export interface ModelInspection {
  /** The program that wrote it. */
  readonly producer: string;
  /** Version of ONNX's own operators. */
  readonly opset: number;
  readonly irVersion: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Numbers in the weights. */
  readonly parameters: number;
  /** The tensor of logits; `[N, K]`, or `[N, K, 1, 1]` before it is flattened. */
  readonly logits?: string;
  /** The penultimate features: what the last linear layer reads; rank above 2 where that is a convolution. */
  readonly features?: Features;
  /** Number of classes. */
  readonly classes?: number;
  /** Files with weights, relative to the model's folder. */
  readonly externalData: readonly string[];
  /** What a person should look at, in whole sentences. */
  readonly warnings: readonly string[];
}

/**
 * Reads an ONNX model's inputs and outputs and finds the parts of a classifier in it: logits and penultimate
 * features. Weights are not read.
 * @param model - an ONNX model, or what was read of it
 * @param options - `logits`: the tensor of logits, where it is known, to search the features behind it
 * @throws BallastError invalid-model where the bytes are no ONNX model, or its external data lies out of its folder
 */
export function inspectModel(
  model: Uint8Array | ModelView,
  options: { logits?: string | undefined } = {},
): ModelInspection {
  const view = model instanceof ModelView ? model : new ModelView(model);
  const { graph } = view;
  const warnings: string[] = [];
  const inputs = specsOf(graph.fedInputs, 'input', warnings);
  const outputs = specsOf(graph.outputs, 'output', warnings);
  warnAboutBatch(inputs, warnings);
  return {
    producer: view.producer,
    opset: view.opsets.get('') ?? 0,
    irVersion: view.irVersion,
    inputs,
    outputs,
    parameters: countParameters(view),
    ...findClassifier(view, options.logits, warnings),
    externalData: externalDataFiles(view),
    warnings,
  };
}

function specsOf(values: readonly ValueInfo[], what: 'input' | 'output', warnings: string[]): TensorSpec[] {
  return values.flatMap((value) => {
    const type = value.elementType === 0 ? 'float32' : elementTypeName(value.elementType);
    if (value.kind === 'other' || type === undefined) {
      warnings.push(`The ${what} "${value.name}" is no tensor of a type that can be served; it is left out.`);
      return [];
    }
    if (!value.dims) warnings.push(`The model does not say what shape its ${what} "${value.name}" has.`);
    return [{ name: value.name, type, dims: value.dims ?? [] }];
  });
}

function warnAboutBatch(inputs: readonly TensorSpec[], warnings: string[]): void {
  const fixed = inputs.find(({ dims }) => dims.length > 0 && dims[0] > 0);
  if (!fixed) return;
  const effect = fixed.dims[0] === 1 ? 'so samples run one at a time' : 'which cannot be served';
  warnings.push(
    `The batch axis of input "${fixed.name}" is fixed to ${fixed.dims[0]}, ${effect}. Export the model with a dynamic ` +
      'batch axis.',
  );
}

/** How many numbers the weights of a model's graph hold. */
export function countParameters(view: ModelView): number {
  let count = 0;
  for (const { elementType, dims } of view.graph.initializers.values()) {
    const type = elementTypeName(elementType);
    // Shapes and indices are stored like weights; no weight is of these types.
    if (type !== 'int64' && type !== 'bool' && type !== 'string')
      count += dims.reduce((product, size) => product * size, 1);
  }
  return count;
}
