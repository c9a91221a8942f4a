import { BallastError } from '../../errors.js';
import type { TensorSpec } from '../../runtime/tensor.js';
import { readBinaryData } from './binary-data.js';
import { datatypeOf } from './datatypes.js';
import type { InferRequest } from './infer-request.js';

/**
 * Reads a request that is nothing but the bytes of one tensor: Inference-Header-Content-Length is 0, no JSON comes
 * before them. The shape follows from their number.
 * @param specs - the model's inputs: one, of fixed element size, with at most one dimension that may vary
 * @returns a request for every output, as JSON
 * @throws BallastError invalid-input where the model or the number of bytes does not allow it
 */
export function readRawRequest(body: Uint8Array, specs: readonly TensorSpec[]): InferRequest {
  const [spec] = specs;
  const datatype = datatypeOf(spec.type);
  const size = datatype.TypedArray?.BYTES_PER_ELEMENT;
  if (specs.length !== 1 || size === undefined || spec.dims.filter((dim) => dim < 0).length > 1) {
    throw new BallastError(
      'invalid-input',
      'An Inference-Header-Content-Length of 0 means the bytes of a tensor alone, which this model does not allow: that takes one input, with one dimension that may vary.',
    );
  }
  const fixed = spec.dims.filter((dim) => dim >= 0).reduce((product, dim) => product * dim, size);
  const free = body.byteLength / fixed;
  if (!Number.isInteger(free) || free === 0) {
    throw new BallastError(
      'invalid-input',
      `The body has ${body.byteLength} bytes; input "${spec.name}", ${datatype.name} of shape [${spec.dims.join(', ')}], takes a multiple of ${fixed}.`,
    );
  }
  const dims = spec.dims.map((dim) => (dim < 0 ? free : dim));
  const data = readBinaryData(spec.name, body, dims, datatype);
  return {
    id: undefined,
    parameters: {},
    inputs: { [spec.name]: { type: spec.type, dims, data } },
    outputs: undefined,
    binaryOutput: false,
  };
}
