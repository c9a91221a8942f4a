import { getFloat16, setFloat16 } from '@petamoriken/float16';

/**
 * Decodes IEEE half floats.
 * @param bits - little-endian halves, in any typed array of two-byte elements
 * @returns the same values as float32
 */
export function toFloat32(bits: ArrayBufferView & { readonly length: number }): Float32Array {
  const view = new DataView(bits.buffer, bits.byteOffset, bits.byteLength);
  const values = new Float32Array(bits.length);
  for (let i = 0; i < values.length; i++) values[i] = getFloat16(view, 2 * i, true);
  return values;
}

/**
 * Encodes values as IEEE half floats, rounded to nearest even.
 * @returns the halves' bits
 */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  const view = new DataView(bits.buffer);
  for (let i = 0; i < values.length; i++) setFloat16(view, 2 * i, values[i], true);
  return bits;
}
