import type { TensorSpec } from '../tensor.js';
import { classifierOutputs, type Candidate } from './choose-output.js';
import { elementTypeName } from './element-types.js';
import { externalDataFiles } from './external-data.js';
import { findFeatures, type Features } from './features.js';
import { Frame } from './frame.js';
import { findHeads, type Head } from './head.js';
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
  options: { logits?: string } = {},
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

type Classifier = Pick<ModelInspection, 'logits' | 'features' | 'classes'>;

function findClassifier(view: ModelView, given: string | undefined, warnings: string[]): Classifier {
  const frame = Frame.ofModel(view);
  if (given !== undefined) return describe(view, given, findHeads(frame, given), warnings);
  const candidates = classifierOutputs(frame, view.graph.outputs);
  const best = candidates.at(0);
  const others = candidates.slice(1);
  if (!best || !isClassifier(best, others.length === 0)) {
    warnings.push(
      'No output looks like the scores of a classifier [N, K]. Serve the model with "task: raw", or name the tensor ' +
        'with "classifier.logits" in model.yaml.',
    );
    return {};
  }
  const rivals = others.filter((other) => isClassifier(other, false)).map(({ output }) => `"${output.name}"`);
  if (rivals.length > 0) {
    warnings.push(
      `Several outputs could be the scores of a classifier: "${best.output.name}" was taken, not ${rivals.join(', ')}. ` +
        'Name another one with "classifier.logits" in model.yaml.',
    );
  }
  return describeCandidate(view, best, warnings);
}

/** A lone output in the right shape is believed; one of several has to look like more. */
function isClassifier({ heads, logits }: Candidate, alone: boolean): boolean {
  return alone || heads.length > 0 || logits.activation !== undefined;
}

function describeCandidate(
  view: ModelView,
  { output, logits, heads }: Candidate,
  warnings: string[],
): Classifier {
  if (logits.name === undefined) {
    warnings.push(
      `The logits of output "${output.name}" are inside a model-local function. Inline the functions ` +
        '(onnx.inliner.inline_local_functions), then import the model again.',
    );
    return {};
  }
  if (logits.activation === 'Sigmoid') {
    warnings.push(
      `Output "${output.name}" is a sigmoid: each class is a question of its own there. Ballast takes the logits ` +
        `before it and treats the classes as alternatives, one of which is true.`,
    );
  }
  return describe(view, logits.name, heads, warnings, output);
}

function describe(
  view: ModelView,
  logits: string,
  heads: readonly Head[],
  warnings: string[],
  output = view.graph.values.get(logits),
): Classifier {
  const dims = view.graph.values.get(logits)?.dims ?? output?.dims;
  const head = heads.at(0);
  const rank = head?.rank ?? (head?.direct ? dims?.length : undefined);
  const features = head && findFeatures(head, rank);
  const classes = [dims?.[1], head?.classes].find((size) => size !== undefined && size > 0);
  if (!features) warnings.push(withoutFeatures(head));
  else if (new Set(heads.map((each) => findFeatures(each)?.name)).size > 1) {
    warnings.push(
      `The logits add up several layers; "${features.name}", which the first of them reads, was taken as the features. ` +
        'Name another tensor with "classifier.features" in model.yaml.',
    );
  }
  return { logits, ...(features && { features }), ...(classes !== undefined && { classes }) };
}

function withoutFeatures(head: Head | undefined): string {
  const found = head
    ? `The features that ${head.node.label} reads exist as integers only, or inside a model-local function only.`
    : 'No last linear layer (Gemm, MatMul, Conv, …) was found behind the logits.';
  return (
    `${found} Name the tensor of penultimate features with "classifier.features" in model.yaml, or write ` +
    '"features: none" to serve without them, which leaves LAME out.'
  );
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
  for (const { name, dims } of inputs) {
    if (dims.length > 0 && dims[0] > 0) {
      warnings.push(
        `The batch axis of input "${name}" is fixed to ${dims[0]}, so every forward pass takes exactly that many ` +
          'samples. Export the model with a dynamic batch axis to serve it fast.',
      );
    }
  }
}

function countParameters(view: ModelView): number {
  let count = 0;
  for (const { elementType, dims } of view.graph.initializers.values()) {
    const type = elementTypeName(elementType);
    // Shapes and indices are stored like weights; no weight is of these types.
    if (type !== 'int64' && type !== 'bool' && type !== 'string')
      count += dims.reduce((product, size) => product * size, 1);
  }
  return count;
}
