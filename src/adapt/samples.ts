import type { Tensor } from '../runtime/tensor.js';

/** Samples of a float32 tensor by their numbers, in new memory. */
export function takeSamples({ type, dims, data }: Tensor, indices: ArrayLike<number>): Tensor {
  const size = dims.slice(1).reduce((product, dim) => product * dim, 1);
  const all = data as Float32Array;
  const taken = new Float32Array(indices.length * size);
  for (let i = 0; i < indices.length; i++) {
    taken.set(all.subarray(indices[i] * size, (indices[i] + 1) * size), i * size);
  }
  return { type, dims: [indices.length, ...dims.slice(1)], data: taken };
}
