import { classifierOutputs, type Candidate } from './choose-output.js';
import { isReal } from './element-types.js';
import { findFeatures, type Features } from './features.js';
import { Frame } from './frame.js';
import { findHeads, type Head } from './head.js';
import type { ModelView } from './model-view.js';

/** The parts of a classifier, as far as they were found; see ModelInspection. */
export interface Classifier {
  readonly logits?: string;
  readonly features?: Features;
  readonly classes?: number;
}

/**
 * Finds logits, features and the number of classes of a classifier.
 * @param view - the model
 * @param given - the tensor of logits, where it is known
 * @param warnings - gets a sentence for each thing that a person should look at
 */
export function findClassifier(view: ModelView, given: string | undefined, warnings: string[]): Classifier {
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
function isClassifier({ output, heads, logits }: Candidate, alone: boolean): boolean {
  const real = output.elementType === 0 || isReal(output.elementType);
  return (alone && real) || heads.length > 0 || logits.activation !== undefined;
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
  // The shape of an output tells the classes, unless it is an index of one.
  return describe(view, logits.name, heads, warnings, isReal(output.elementType) ? output.dims : undefined);
}

function describe(
  view: ModelView,
  logits: string,
  heads: readonly Head[],
  warnings: string[],
  otherDims?: readonly number[],
): Classifier {
  const dims = view.graph.values.get(logits)?.dims ?? otherDims;
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
