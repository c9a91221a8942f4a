import { BallastError } from '../errors.js';
import type { Tensor, TensorData, TensorMap } from '../runtime/tensor.js';

/** Rows `begin` to `end` (exclusive) of each tensor: views, no copies (string tensors are sliced). */
export function rowsOf(tensors: TensorMap, begin: number, end: number): TensorMap {
  return mapTensors(tensors, (tensor) => {
    const size = sampleSize(tensor);
    const { data } = tensor;
    return {
      type: tensor.type,
      dims: [end - begin, ...tensor.dims.slice(1)],
      data: Array.isArray(data)
        ? data.slice(begin * size, end * size)
        : data.subarray(begin * size, end * size),
    };
  });
}

/**
 * Stacks tensors of equal sample shape and type along the batch axis, in new memory.
 * @param parts - one map a part, with the same names in each
 * @throws BallastError invalid-model where an output's sample shape differs between the parts
 */
export function concatRows(parts: readonly TensorMap[]): TensorMap {
  return mapTensors(parts[0], (first, name) => {
    const tensors = parts.map((part) => part[name]);
    if (tensors.some((tensor) => !sameSampleShape(tensor, first))) {
      throw new BallastError(
        'invalid-model',
        `"${name}" has samples of different shapes in one request (${tensors.map(({ dims }) => dims.join('×')).join(', ')}); send them in requests of their own.`,
      );
    }
    const rows = tensors.reduce((sum, { dims }) => sum + dims[0], 0);
    return {
      type: first.type,
      dims: [rows, ...first.dims.slice(1)],
      data: concatData(tensors.map(({ data }) => data)),
    };
  });
}

/** Whether the rows of both maps can stand in one batch. */
export function sameSampleShapes(a: TensorMap, b: TensorMap): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => name in b && sameSampleShape(a[name], b[name]))
  );
}

function sameSampleShape(a: Tensor, b: Tensor): boolean {
  return (
    a.type === b.type &&
    a.dims.length === b.dims.length &&
    a.dims.every((dim, axis) => axis === 0 || dim === b.dims[axis])
  );
}

function sampleSize({ dims }: Tensor): number {
  return dims.slice(1).reduce((product, dim) => product * dim, 1);
}

function concatData(parts: readonly TensorData[]): TensorData {
  const [first] = parts;
  if (Array.isArray(first)) return parts.flatMap((part) => part as string[]);
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const TypedArray = first.constructor as new (length: number) => Float32Array;
  const out = new TypedArray(total);
  let offset = 0;
  for (const part of parts) {
    out.set(part as Float32Array, offset);
    offset += part.length;
  }
  return out;
}

function mapTensors(tensors: TensorMap, change: (tensor: Tensor, name: string) => Tensor): TensorMap {
  const changed: Record<string, Tensor> = {};
  for (const name of Object.keys(tensors)) changed[name] = change(tensors[name], name);
  return changed;
}
