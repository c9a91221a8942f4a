import { setFloat16 } from '@petamoriken/float16';
import { BallastError } from '../../errors.js';
import type { TensorData } from '../../runtime/tensor.js';
import { shown } from '../../schema-mistake.js';
import { ZERO_CHARACTER } from './binary-data.js';
import type { DatatypeInfo } from './datatypes.js';

/** Which values of a tensor in JSON are wrong, and why. */
function wrong(tensor: string, index: number, value: unknown, why: string): BallastError {
  return new BallastError('invalid-input', `Input "${tensor}", element ${index}: ${shown(value)} ${why}.`);
}

/**
 * Lays the `data` of a JSON tensor out in row-major order. Flat and nested arrays are both read; a nested one must
 * have the lengths of the shape.
 * @throws BallastError invalid-input where the number of elements or the nesting disagrees with the shape
 */
function flatten(tensor: string, data: unknown, shape: readonly number[]): readonly unknown[] {
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (!Array.isArray(data)) {
    throw new BallastError('invalid-input', `Input "${tensor}": its data must be an array.`);
  }
  if (!Array.isArray(data[0])) {
    if (data.length === count) return data;
    throw new BallastError(
      'invalid-input',
      `Input "${tensor}" has ${data.length} elements; its shape [${shape.join(', ')}] takes ${count}.`,
    );
  }
  const flat: unknown[] = [];
  const visit = (node: unknown, axis: number): void => {
    const rest = shape.slice(axis).reduce((product, dim) => product * dim, 1);
    const nested = Array.isArray(node) && Array.isArray(node[0]);
    const length = nested ? shape[axis] : rest;
    if (!Array.isArray(node) || axis === shape.length || node.length !== length) {
      throw new BallastError(
        'invalid-input',
        `Input "${tensor}": the nesting of its data does not have the shape [${shape.join(', ')}].`,
      );
    }
    if (nested) for (const child of node as unknown[]) visit(child, axis + 1);
    else for (const value of node as unknown[]) flat.push(value);
  };
  visit(data, 0);
  return flat;
}

/**
 * Reads the elements of a JSON tensor.
 * @param tensor - the input's name, for errors
 * @param data - of the request, flat or nested
 * @param shape - that the request claims
 * @param datatype - that the request claims
 * @returns row-major elements; nothing is rounded to an integer, wrapped around or taken as infinite in silence
 * @throws BallastError invalid-input naming the tensor, the element and what it must be
 */
export function readJsonData(
  tensor: string,
  data: unknown,
  shape: readonly number[],
  datatype: DatatypeInfo,
): TensorData {
  const values = flatten(tensor, data, shape);
  const { name, TypedArray } = datatype;
  if (!TypedArray) return readStrings(tensor, values);
  if (name === 'BOOL') return readBooleans(tensor, values);
  if (name === 'FP16') return readHalves(tensor, values);
  const out = new TypedArray(values.length);
  if (out instanceof BigInt64Array || out instanceof BigUint64Array) {
    for (let i = 0; i < out.length; i++) out[i] = wideInteger(tensor, i, values[i], datatype);
  } else if (datatype.range) {
    const [least, greatest] = datatype.range.map(Number) as [number, number];
    for (let i = 0; i < out.length; i++) {
      const value = values[i];
      if (!Number.isInteger(value) || (value as number) < least || (value as number) > greatest) {
        throw wrong(tensor, i, value, `is no ${name}, an integer from ${least} to ${greatest}`);
      }
      out[i] = value as number;
    }
  } else {
    for (let i = 0; i < out.length; i++) {
      const value = values[i];
      if (typeof value !== 'number') throw wrong(tensor, i, value, `is no ${name}, a finite number`);
      out[i] = value;
      if (!Number.isFinite(out[i])) throw wrong(tensor, i, value, `is beyond the range of ${name}`);
    }
  }
  return out;
}

function readStrings(tensor: string, values: readonly unknown[]): string[] {
  return values.map((value, i) => {
    if (typeof value !== 'string') throw wrong(tensor, i, value, 'is no BYTES, a string');
    if (value.includes('\0')) throw wrong(tensor, i, value, `holds ${ZERO_CHARACTER}`);
    return value;
  });
}

function readBooleans(tensor: string, values: readonly unknown[]): Uint8Array {
  return Uint8Array.from(values, (value, i) => {
    if (value !== true && value !== false && value !== 0 && value !== 1) {
      throw wrong(tensor, i, value, 'is no BOOL, true or false');
    }
    return Number(value);
  });
}

function readHalves(tensor: string, values: readonly unknown[]): Uint16Array {
  const bits = new Uint16Array(values.length);
  const view = new DataView(bits.buffer);
  for (let i = 0; i < bits.length; i++) {
    const value = values[i];
    if (typeof value !== 'number') throw wrong(tensor, i, value, 'is no FP16, a finite number');
    setFloat16(view, 2 * i, value, true);
    if ((bits[i] & 0x7c00) === 0x7c00) throw wrong(tensor, i, value, 'is beyond the range of FP16');
  }
  return bits;
}

/** 64-bit integers: numbers that are exact, or strings of digits (as int64.ts makes them of long numbers). */
function wideInteger(tensor: string, index: number, value: unknown, { name, range }: DatatypeInfo): bigint {
  const [least, greatest] = range!;
  let exact: bigint | undefined;
  if (Number.isSafeInteger(value)) exact = BigInt(value as number);
  else if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) exact = BigInt(value);
  if (exact === undefined || exact < least || exact > greatest) {
    throw wrong(tensor, index, value, `is no ${name}, an integer from ${least} to ${greatest}`);
  }
  return exact;
}
