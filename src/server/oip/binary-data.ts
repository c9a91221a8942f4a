import { BallastError } from '../../errors.js';
import type { Tensor, TensorData } from '../../runtime/tensor.js';
import type { DatatypeInfo } from './datatypes.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** What no string may hold, since the model would get the part before it. */
export const ZERO_CHARACTER = 'a zero character, at which onnxruntime-node ends a string';

/**
 * Reads a tensor that came as bytes: little-endian, row-major; BYTES as a 32-bit length before each element.
 * @param tensor - the input's name, for errors
 * @param bytes - all of its bytes; the result may look into the same memory
 * @throws BallastError invalid-input where the size disagrees with the shape, or an element is none of its type
 */
export function readBinaryData(
  tensor: string,
  bytes: Uint8Array,
  shape: readonly number[],
  datatype: DatatypeInfo,
): TensorData {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const { TypedArray, name } = datatype;
  if (!TypedArray) return readStrings(tensor, bytes, count);
  const size = TypedArray.BYTES_PER_ELEMENT;
  if (bytes.byteLength !== count * size) {
    throw new BallastError(
      'invalid-input',
      `Input "${tensor}" has ${bytes.byteLength} bytes of data; ${name} of shape [${shape.join(', ')}] takes ${count * size}.`,
    );
  }
  // A typed array begins at a multiple of its element's size; the JSON before it has any length.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const data = new TypedArray(aligned.buffer, aligned.byteOffset, count);
  checkElements(tensor, data, name);
  return data;
}

/** NaN and infinity spread through a whole batch, and a BOOL that is neither 0 nor 1 is no BOOL. */
function checkElements(tensor: string, data: TensorData, name: string): void {
  let bad = -1;
  if (data instanceof Float32Array || data instanceof Float64Array) {
    if (!allFinite(data)) bad = data.findIndex((value) => !Number.isFinite(value));
  } else if (name === 'FP16') {
    bad = (data as Uint16Array).findIndex((bits) => (bits & 0x7c00) === 0x7c00);
  } else if (name === 'BOOL') {
    bad = (data as Uint8Array).findIndex((value) => value > 1);
    if (bad >= 0) {
      throw new BallastError(
        'invalid-input',
        `Input "${tensor}", element ${bad}: a BOOL is a byte of 0 or 1.`,
      );
    }
  }
  if (bad >= 0) {
    throw new BallastError(
      'invalid-input',
      `Input "${tensor}", element ${bad}: NaN or infinity; every element must be a finite number.`,
    );
  }
}

/** A finite number times zero is zero: one pass without a branch, of four sums since each waits for its last one. */
function allFinite(data: Float32Array | Float64Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = data.length - (data.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += data[i] * 0;
    b += data[i + 1] * 0;
    c += data[i + 2] * 0;
    d += data[i + 3] * 0;
  }
  for (let i = whole; i < data.length; i++) a += data[i] * 0;
  return a + b + c + d === 0;
}

function readStrings(tensor: string, bytes: Uint8Array, count: number): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings: string[] = [];
  let offset = 0;
  while (offset < bytes.byteLength) {
    const begin = offset + 4;
    const end = begin <= bytes.byteLength ? begin + view.getUint32(offset, true) : Infinity;
    if (end > bytes.byteLength) {
      throw new BallastError(
        'invalid-input',
        `Input "${tensor}", element ${strings.length}: its length passes the end of the tensor's ${bytes.byteLength} bytes. An element is a little-endian 32-bit length and as many bytes.`,
      );
    }
    try {
      strings.push(utf8.decode(bytes.subarray(begin, end)));
    } catch {
      throw new BallastError('invalid-input', `Input "${tensor}", element ${strings.length}: not UTF-8.`);
    }
    if (strings.at(-1)!.includes('\0')) {
      throw new BallastError(
        'invalid-input',
        `Input "${tensor}", element ${strings.length - 1}, holds ${ZERO_CHARACTER}.`,
      );
    }
    offset = end;
  }
  if (strings.length === count) return strings;
  throw new BallastError(
    'invalid-input',
    `Input "${tensor}" has ${strings.length} elements; its shape takes ${count}.`,
  );
}

/** A tensor's data as the binary extension sends it; the result may look into the tensor's memory. */
export function writeBinaryData(tensor: Tensor): Uint8Array {
  const { data } = tensor;
  if (!Array.isArray(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const elements = data.map((text) => Buffer.from(text, 'utf8'));
  return Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.byteLength);
      return [length, element];
    }),
  );
}
