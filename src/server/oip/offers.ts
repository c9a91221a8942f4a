import type { BatchResult } from '../../pipeline/batch.js';
import type { ServedModel } from '../../pipeline/serving.js';
import { toFloat16 } from '../../runtime/float16.js';
import type { Matrix, Tensor, TensorSpec } from '../../runtime/tensor.js';

/** An output that a model has on offer, and where it comes from. */
export interface Offer {
  readonly spec: TensorSpec;
  /** model: an output of the ONNX model, of the wrapped model alone; the others are Ballast's. */
  readonly source: 'model' | 'probabilities' | 'base';
}

const offers = new WeakMap<ServedModel, readonly Offer[]>();

/**
 * Every output that a request may ask for: the ONNX model's own, and of a classifier `probabilities` (adapted) and
 * `base_probabilities` (of the wrapped model alone), both FP32 `[N, K]`. Where the ONNX model has outputs of those
 * names, ours begin with `ballast_`.
 */
export function offersOf(model: ServedModel): readonly Offer[] {
  let known = offers.get(model);
  if (!known) {
    known = makeOffers(model);
    offers.set(model, known);
  }
  return known;
}

function makeOffers({ config, labels, outputs }: ServedModel): Offer[] {
  const own = outputs.map((spec): Offer => ({ spec, source: 'model' }));
  if (config.task === 'raw') return own;
  const taken = new Set(outputs.map(({ name }) => name));
  const matrix = (name: string, source: Offer['source']): Offer => ({
    spec: { name: taken.has(name) ? `ballast_${name}` : name, type: 'float32', dims: [-1, labels.length] },
    source,
  });
  return [...own, matrix('probabilities', 'probabilities'), matrix('base_probabilities', 'base')];
}

/** The tensor of an offer; undefined where the pipeline did not answer it. */
export function offeredTensor({ spec, source }: Offer, result: BatchResult): Tensor | undefined {
  if (source === 'model') return inHalves(result.outputs[spec.name], spec);
  const matrix = source === 'base' ? result.base : result.probabilities;
  return matrix && tensorOf(matrix);
}

/** The pipeline computes with float32; an output that is FP16 by its metadata goes out as such, bit for bit. */
function inHalves(tensor: Tensor | undefined, spec: TensorSpec): Tensor | undefined {
  if (spec.type !== 'float16' || !(tensor?.data instanceof Float32Array)) return tensor;
  return { type: 'float16', dims: tensor.dims, data: toFloat16(tensor.data) };
}

function tensorOf({ data, rows, cols }: Matrix): Tensor {
  return { type: 'float32', dims: [rows, cols], data };
}
