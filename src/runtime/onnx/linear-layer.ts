import type { Maker } from './frame.js';
import type { NodeView } from './node-view.js';
import { weightShape } from './weight-shape.js';

/** A layer that could be a classifier's last: data in, one number a class out. */
export interface LinearLayer extends Maker {
  /** The tensor that goes in, by its name in the layer's frame. */
  readonly data: string;
  /** Whether what goes in is quantised, so that the float features lie further back. */
  readonly quantised: boolean;
  /** How many features go in and how many classes come out, where the weights tell. */
  readonly features?: number;
  readonly classes?: number;
  /** Rank of what goes in, where the operator fixes it. */
  readonly rank?: number;
}

type Sizes = Pick<LinearLayer, 'features' | 'classes' | 'rank'>;

/** Where an operator has its weight, and what the weight's shape means. */
interface Form {
  readonly weight: number;
  readonly quantised?: boolean;
  readonly sizes: (dims: readonly number[], node: NodeView) => Sizes;
}

const gemm = (dims: readonly number[], node: NodeView): Sizes => {
  const [classes, features] = node.integer('transB', 0) === 1 ? dims : dims.toReversed();
  return { features, classes, rank: 2 };
};

const matMul = (dims: readonly number[], node: NodeView): Sizes => {
  const [features, classes] = node.integer('transB', 0) === 1 ? dims.slice(-2).toReversed() : dims.slice(-2);
  return { features, classes };
};

const convolution = (dims: readonly number[], node: NodeView): Sizes => ({
  features: dims[1] * node.integer('group', 1),
  classes: dims[0],
  rank: dims.length,
});

// These keep their sizes in attributes: the weight itself is packed.
const packed = (_: readonly number[], node: NodeView): Sizes =>
  sizesOf(node.integer('K', 0), node.integer('N', 0));

/**
 * Operators of ONNX and of onnxruntime (com.microsoft), whose data is always the first input:
 * https://onnx.ai/onnx/operators/ and docs/ContribOperators.md of onnxruntime.
 */
const FORMS: ReadonlyMap<string, Form> = new Map([
  ['Gemm', { weight: 1, sizes: gemm }],
  ['FusedGemm', { weight: 1, sizes: gemm }],
  ['QGemm', { weight: 3, quantised: true, sizes: gemm }],
  ['MatMul', { weight: 1, sizes: matMul }],
  ['FusedMatMul', { weight: 1, sizes: matMul }],
  ['TransposeMatMul', { weight: 1, sizes: matMul }],
  ['GemmFloat8', { weight: 1, sizes: gemm }],
  ['MatMulInteger', { weight: 1, quantised: true, sizes: matMul }],
  ['MatMulIntegerToFloat', { weight: 1, quantised: true, sizes: matMul }],
  ['DynamicQuantizeMatMul', { weight: 1, sizes: matMul }],
  ['QLinearMatMul', { weight: 3, quantised: true, sizes: matMul }],
  ['MatMulNBits', { weight: 1, sizes: packed }],
  ['MatMulBnb4', { weight: 1, sizes: packed }],
  ['Conv', { weight: 1, sizes: convolution }],
  ['FusedConv', { weight: 1, sizes: convolution }],
  ['ConvInteger', { weight: 1, quantised: true, sizes: convolution }],
  ['QLinearConv', { weight: 3, quantised: true, sizes: convolution }],
]);

/**
 * Reads a node as a linear layer: one whose first input is data and whose weight is not. A product of two data
 * tensors, as in attention, is none.
 * @returns the layer; undefined where the node is none
 */
export function linearLayer(maker: Maker): LinearLayer | undefined {
  const { frame, node } = maker;
  const form = FORMS.get(node.opType);
  const [data] = node.inputs;
  const weight = node.inputs.at(form?.weight ?? 0);
  if (!form || weight === undefined || !frame.flow.isData(data) || frame.flow.isData(weight))
    return undefined;
  // With transA the batch would be the second axis of what goes in.
  if (node.integer('transA', 0) === 1) return undefined;
  const { features, classes, rank } = form.sizes(weightShape(frame, weight) ?? [], node);
  return {
    ...maker,
    data,
    quantised: form.quantised === true,
    ...sizesOf(features, classes),
    ...(rank !== undefined && rank > 0 && { rank }),
  };
}

/** Sizes that are known: a weight without a shape, or with a symbolic one, leaves them out. */
function sizesOf(features: number | undefined, classes: number | undefined): Sizes {
  return {
    ...(features !== undefined && features > 0 && { features }),
    ...(classes !== undefined && classes > 0 && { classes }),
  };
}
