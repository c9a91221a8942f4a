import type { Frame } from './frame.js';
import { readTensorHeader } from './tensor-header.js';

/** Operators between a stored weight and its use. */
const MAX_STEPS = 32;

/** The element type (TensorProto.DataType) of a tensor that is stored, or computed from one; 0 where it is not seen. */
export function constantType(frame: Frame, name: string): number {
  for (let step = 0; step < MAX_STEPS; step++) {
    const known =
      frame.scope.initializers.get(name)?.elementType ?? frame.scope.values.get(name)?.elementType;
    if (known !== undefined && known !== 0) return known;
    const node = frame.scope.producer(name)?.node;
    if (node?.opType === 'Constant') {
      for (const { sparse, reader } of node.tensors())
        if (!sparse) return readTensorHeader(reader).elementType;
    }
    if (!node || node.inputs.length === 0) return 0;
    if (node.opType === 'Cast') return node.integer('to', 0);
    name = node.inputs[node.opType === 'DequantizeLinear' ? 1 : 0];
  }
  return 0;
}
