import type { BatchResult } from '../../pipeline/batch.js';
import type { ServedModel } from '../../pipeline/serving.js';
import { toFloat16 } from '../../runtime/float16.js';
import type { Matrix, Tensor, TensorSpec } from '../../runtime/tensor.js';

/** An output that a model has on offer, and where it comes from. */
export interface Offer {
  readonly spec: TensorSpec;
  /** model: an output of the ONNX model, of the wrapped model alone; the others are Ballast's. */
  readonly source: 'model' | 'probabilities' | 'base' | 'alpha' | 'radius';
}

/** What a radius without limit goes out as: JSON has no infinity. */
const FLOAT32_MAX = 3.4028234663852886e38;

const offers = new WeakMap<ServedModel, readonly Offer[]>();

/**
 * Every output that a request may ask for: the ONNX model's own, and of a classifier `probabilities` (adapted) and
 * `base_probabilities` (of the wrapped model alone), both FP32 `[N, K]`. A model that mixes two classifiers has `alpha`
 * and `certified_radius` too, both FP32 `[N]`, 0 where nothing was mixed or certified. Where the ONNX model has outputs
 * of those names, ours begin with `ballast_`.
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
  const offer = (name: string, source: Offer['source'], ...sample: number[]): Offer => ({
    spec: { name: taken.has(name) ? `ballast_${name}` : name, type: 'float32', dims: [-1, ...sample] },
    source,
  });
  return [
    ...own,
    offer('probabilities', 'probabilities', labels.length),
    offer('base_probabilities', 'base', labels.length),
    ...(config.smoothing ? [offer('alpha', 'alpha'), offer('certified_radius', 'radius')] : []),
  ];
}

/** The tensor of an offer; undefined where the pipeline did not answer it. */
export function offeredTensor({ spec, source }: Offer, result: BatchResult): Tensor | undefined {
  if (source === 'model') return inHalves(result.outputs[spec.name], spec);
  if (source === 'alpha') return column(result.alpha ?? new Float32Array(result.count));
  if (source === 'radius') {
    const radii = Array.from({ length: result.count }, (_, row) => result.certificates?.[row]?.radius ?? 0);
    return column(Float32Array.from(radii, (radius) => Math.min(radius, FLOAT32_MAX)));
  }
  const matrix = source === 'base' ? result.base : result.probabilities;
  return matrix && tensorOf(matrix);
}

/** The pipeline computes with float32; an output that is FP16 by its metadata goes out as such, bit for bit. */
function inHalves(tensor: Tensor | undefined, spec: TensorSpec): Tensor | undefined {
  if (spec.type !== 'float16' || !(tensor?.data instanceof Float32Array)) return tensor;
  return { type: 'float16', dims: tensor.dims, data: toFloat16(tensor.data) };
}

function column(data: Float32Array): Tensor {
  return { type: 'float32', dims: [data.length], data };
}

function tensorOf({ data, rows, cols }: Matrix): Tensor {
  return { type: 'float32', dims: [rows, cols], data };
}
