import type { Frame } from './frame.js';
import { readTensorHeader } from './tensor-header.js';

/** Operators that keep the shape of their first input. */
const SHAPE_KEEPING: ReadonlySet<string> = new Set([
  'Identity',
  'Cast',
  'QuantizeLinear',
  'DequantizeLinear',
]);

/** Operators between a stored weight and its use: real models have one or two. */
const MAX_STEPS = 32;

/**
 * The shape of a weight, whether it is stored or computed from one that is.
 * @param frame - where `name` is a tensor
 * @returns the dimensions; undefined where they cannot be told without running the model
 */
export function weightShape(frame: Frame, name: string): readonly number[] | undefined {
  let at = frame.lift(name);
  // Where each axis of the weight comes from, once there was a Transpose; `null` reverses them.
  const orders: (readonly number[] | null)[] = [];
  for (let step = 0; step < MAX_STEPS; step++) {
    const { scope } = at.frame;
    const known = scope.initializers.get(at.name)?.dims ?? scope.values.get(at.name)?.dims;
    if (known) return orders.reduceRight(permute, known);
    const maker = at.frame.maker(at.name);
    if (maker?.node.opType === 'Constant') {
      for (const { sparse, reader } of maker.node.tensors()) {
        if (!sparse) return orders.reduceRight(permute, readTensorHeader(reader).dims);
      }
    }
    if (!maker || maker.node.inputs.length === 0) return undefined;
    if (maker.node.opType === 'Transpose') orders.push(maker.node.integers('perm') ?? null);
    else if (!SHAPE_KEEPING.has(maker.node.opType)) return undefined;
    at = maker.frame.lift(maker.node.inputs[0]);
  }
  return undefined;
}

function permute(dims: readonly number[], order: readonly number[] | null): readonly number[] {
  return order ? order.map((axis) => dims.at(axis) ?? -1) : dims.toReversed();
}
