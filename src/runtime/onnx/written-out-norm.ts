import type { Frame } from './frame.js';
import type { NodeView } from './node-view.js';
import type { Uses } from './uses.js';
import { weightShape } from './weight-shape.js';

/** Nodes that are one layer together. */
export interface NodeGroup {
  /** The node whose output is the layer's. */
  readonly last: NodeView;
  readonly weight: string | undefined;
  readonly bias: string | undefined;
}

/**
 * Reads a layer normalisation that the exporter wrote out: (x - mean) / sqrt(variance + epsilon), then its scale and
 * shift.
 * @param node - the division
 * @returns undefined where it is none
 */
export function writtenOutNorm(node: NodeView, frame: Frame, uses: Uses): NodeGroup | undefined {
  const maker = (name: string | undefined, operator: string): NodeView | undefined => {
    const made = name === undefined ? undefined : frame.scope.producer(name)?.node;
    return made?.opType === operator ? made : undefined;
  };
  const root = (name: string): NodeView | undefined => {
    if (node.opType === 'Div') return maker(name, 'Sqrt');
    return maker(maker(name, 'Reciprocal')?.inputs[0], 'Sqrt');
  };
  if (node.opType !== 'Div' && node.opType !== 'Mul') return undefined;
  const [deviation, divisor] =
    node.opType === 'Mul' && maker(node.inputs[0], 'Reciprocal') ? node.inputs.toReversed() : node.inputs;
  const subtraction = maker(deviation, 'Sub');
  const sum = maker(root(divisor)?.inputs[0], 'Add');
  if (!subtraction || !sum) return undefined;
  const variance = sum.inputs.map((name) => maker(name, 'ReduceMean')).find((found) => found !== undefined);
  const mean = maker(subtraction.inputs[1], 'ReduceMean');
  const square = variance && (maker(variance.inputs[0], 'Pow') ?? maker(variance.inputs[0], 'Mul'));
  if (!square || mean?.inputs[0] !== subtraction.inputs[0]) return undefined;
  const squared = maker(square.inputs[0], 'Sub');
  if (squared?.inputs[0] !== subtraction.inputs[0]) return undefined;
  return withAffine(node, frame, uses);
}

/** A normalisation with the constant scale and shift that follow it, where they do. */
export function withAffine(node: NodeView, frame: Frame, uses: Uses): NodeGroup {
  const scale = uses.constantOperand(node.outputs[0], 'Mul', frame);
  if (!scale || isScalar(frame, scale.operand)) return { last: node, weight: undefined, bias: undefined };
  const shift = uses.constantOperand(scale.node.outputs[0], 'Add', frame);
  return { last: shift?.node ?? scale.node, weight: scale.operand, bias: shift?.operand };
}

function isScalar(frame: Frame, name: string): boolean {
  return vectorLength(frame, name) === 1;
}

/** How many numbers a constant holds, where all lie along one axis; undefined where they do not, or it is not known. */
export function vectorLength(frame: Frame, name: string | undefined): number | undefined {
  let at = name;
  // Exporters give a weight [C] the axes that it lacks where the graph runs.
  for (let made = producerOf(frame, at); made?.opType === 'Unsqueeze' || made?.opType === 'Reshape';) {
    at = made.inputs[0];
    made = producerOf(frame, at);
  }
  const dims = at === undefined ? undefined : weightShape(frame, at);
  const long = dims?.filter((size) => size !== 1) ?? [];
  return dims && long.length <= 1 ? (long[0] ?? 1) : undefined;
}

function producerOf(frame: Frame, name: string | undefined): NodeView | undefined {
  return name === undefined ? undefined : frame.scope.producer(name)?.node;
}
