import { FLOAT, isReal } from './element-types.js';
import type { TensorRef } from './frame.js';
import type { Head } from './head.js';

/** Operators that leave a tensor's numbers and shape as they are. */
const NO_OPS: ReadonlySet<string> = new Set(['Identity', 'Dropout']);
/** Operators that a quantised network passes its integers through. */
const INTEGER_VIEWS: ReadonlySet<string> = new Set([
  'Identity',
  'Flatten',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
]);
/** Operators that turn real numbers into integers: the real ones are their first input. */
const QUANTISERS: ReadonlySet<string> = new Set(['QuantizeLinear', 'DynamicQuantizeLinear']);

/** The penultimate features of a classifier. */
export interface Features {
  readonly name: string;
  /** -1 for the batch and other dimensions that vary; undefined where the rank is not known. */
  readonly dims?: readonly number[];
}

/**
 * The tensor of features that a classifier's last layer reads: a tensor of real numbers in the model's graph, before
 * anything that quantises, drops out or copies it. Behind a pool it is the flattened tensor, as the layer takes it;
 * before a convolution it has the rank that the convolution takes.
 * @param head - the last layer
 * @param rank - the rank of what it reads, where the layer itself leaves it open
 * @returns undefined where the features exist as integers only, or inside a model-local function only
 */
export function findFeatures(head: Head, rank = head.rank): Features | undefined {
  let at = head.frame.lift(head.data);
  let real = !head.quantised;
  let reshaped = false;
  let found: Features | undefined;
  for (const seen = new Set<string>(); ;) {
    const key = `${at.frame.id}:${at.name}`;
    if (seen.has(key)) return found;
    seen.add(key);
    if (real && isRealTensorOfGraph(at))
      found = { name: at.name, ...dimsOf(at, head, reshaped ? undefined : rank) };
    const maker = at.frame.maker(at.name);
    if (!maker || maker.index !== 0) return found;
    const { node } = maker;
    if (QUANTISERS.has(node.opType)) real = true;
    else if (node.opType === 'DequantizeLinear') real = false;
    else if (node.opType === 'Cast') {
      // A cast to float is the best form that the features have; before a cast to less they are better.
      if (real && node.integer('to', FLOAT) === FLOAT) return found;
    } else if (!(real ? NO_OPS : INTEGER_VIEWS).has(node.opType)) return found;
    else if (!NO_OPS.has(node.opType)) reshaped = true;
    at = maker.frame.lift(node.inputs[0]);
  }
}

/** Whether surgery can expose a tensor, and whether it holds real numbers, as far as the model says. */
function isRealTensorOfGraph({ frame, name }: TensorRef): boolean {
  const declared = frame.scope.values.get(name)?.elementType ?? 0;
  return frame.isGraph && (declared === 0 || isReal(declared));
}

function dimsOf({ frame, name }: TensorRef, head: Head, rank: number | undefined): Pick<Features, 'dims'> {
  const declared = frame.scope.values.get(name)?.dims;
  const dims = declared ? [...declared] : rank === undefined ? undefined : new Array<number>(rank).fill(-1);
  if (!dims) return {};
  // Convolutions have their channels second, products last.
  const channel = head.rank === undefined ? dims.length - 1 : 1;
  if (rank === dims.length && dims[channel] === -1) dims[channel] = head.features ?? -1;
  return { dims };
}
