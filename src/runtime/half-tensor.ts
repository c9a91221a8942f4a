import { Tensor } from 'onnxruntime-node';

/**
 * A float16 tensor for onnxruntime. Where JavaScript has a Float16Array (Node 24 and later), Tensor's constructor
 * turns the bits into one, and onnxruntime-node 1.30 takes that for an empty array: here they stay what they are.
 * @param bits - IEEE half floats, one an element
 * @throws Error where the bits are not as many as `dims` say
 */
export function halfTensor(bits: Uint16Array, dims: readonly number[]): Tensor {
  const tensor = new Tensor('float16', bits, [...dims]);
  return Object.defineProperty(tensor, 'data', { value: bits });
}
