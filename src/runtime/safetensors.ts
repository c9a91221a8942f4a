import { z } from 'zod';
import { BallastError } from '../errors.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';

/** A safetensors file in memory: named float tensors, and free text about them. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, FloatTensor>;
  readonly metadata: Readonly<Partial<Record<string, string>>>;
}

/** A tensor of a safetensors file, row-major. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

const headerSchema = z.object({ __metadata__: z.record(z.string(), z.string()).default({}) }).catchall(
  z.object({
    dtype: z.string(),
    shape: z.array(z.int().min(0)),
    data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
  }),
);

/** The header is no larger than this, as the format's own reader has it. */
const LARGEST_HEADER = 100_000_000;

/**
 * Reads a safetensors file (8 bytes of header length, a header in JSON, the data), of float32 and float64 tensors.
 * @param name - names the file in errors
 * @throws BallastError invalid-input where it is none, or cut short
 */
export function readSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const refuse = (why: string): BallastError =>
    new BallastError('invalid-input', `${name} is no sound safetensors file: ${why}.`);
  if (bytes.byteLength < 8) throw refuse('it has less than 8 bytes');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const begin = 8 + length;
  if (length > LARGEST_HEADER || begin > bytes.byteLength) throw refuse('its header passes its end');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes.subarray(8, begin)));
  } catch {
    throw refuse('its header is no JSON');
  }
  const header = headerSchema.safeParse(json, TELLING);
  if (!header.success) {
    const [issue] = header.error.issues;
    throw refuse(`its header is wrong at "${issue.path.join('.')}": ${foundAndRight(issue)}`);
  }
  const { __metadata__: metadata, ...entries } = header.data;
  const tensors = new Map<string, FloatTensor>();
  for (const [key, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const size = { F32: 4, F64: 8 }[dtype];
    if (size === undefined) throw refuse(`"${key}" is ${dtype}, and only F32 and F64 are read`);
    const [from, to] = data_offsets;
    const count = shape.reduce((product, dim) => product * dim, 1);
    if (to - from !== count * size || begin + to > bytes.byteLength) {
      throw refuse(`the data of "${key}" is not all there`);
    }
    // Copied: a typed array begins only at a multiple of its element's size.
    const data = Uint8Array.from(bytes.subarray(begin + from, begin + to)).buffer;
    tensors.set(key, { shape, data: size === 4 ? new Float32Array(data) : new Float64Array(data) });
  }
  return { tensors, metadata };
}

/** The bytes of a safetensors file. */
export function writeSafetensors({ tensors, metadata }: Safetensors): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let size = 0;
  for (const [name, { shape, data }] of tensors) {
    const end = size + data.byteLength;
    header[name] = {
      dtype: data instanceof Float32Array ? 'F32' : 'F64',
      shape,
      data_offsets: [size, end],
    };
    size = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // The data begins at a multiple of 8; spaces fill the header up, as the format has it.
  const begin = Math.ceil((8 + json.byteLength) / 8) * 8;
  const bytes = new Uint8Array(begin + size).fill(0x20, 8, begin);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(begin - 8), true);
  bytes.set(json, 8);
  let offset = begin;
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return bytes;
}
