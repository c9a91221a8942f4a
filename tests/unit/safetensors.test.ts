import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors, type FloatTensor } from '#ballast/runtime/safetensors.js';

const some = new Map<string, FloatTensor>([
  ['odd', { shape: [3], data: Float32Array.of(1.5, -2, 3e-20) }],
  ['doubles', { shape: [2, 1], data: Float64Array.of(Math.PI, -0) }],
  ['none', { shape: [0, 4], data: new Float32Array(0) }],
  ['scalar', { shape: [], data: Float64Array.of(7) }],
]);
const metadata = { card: '{"of":"prompts"}', umlaut: 'Größe' };

/** A file with a header of one's own, and so many bytes of data. */
function fileOf(header: unknown, size: number): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(size)]);
}

const entry = (more: object = {}): object => ({ dtype: 'F32', shape: [2], data_offsets: [0, 8], ...more });

describe('a safetensors file', () => {
  it('gives back the tensors and the text that were written, float32 and float64', () => {
    const { tensors, metadata: read } = readSafetensors(
      writeSafetensors({ tensors: some, metadata }),
      'file',
    );
    expect([...tensors]).toEqual([...some]);
    expect(read).toEqual(metadata);
  });

  it('gives back any numbers bit for bit', () => {
    fc.assert(
      fc.property(fc.float64Array(), fc.float32Array(), (wide, narrow) => {
        const tensors = new Map<string, FloatTensor>([
          ['narrow', { shape: [narrow.length], data: narrow }],
          ['wide', { shape: [wide.length], data: wide }],
        ]);
        const read = readSafetensors(writeSafetensors({ tensors, metadata: {} }), 'file').tensors;
        expect(Buffer.from(read.get('wide')!.data.buffer)).toEqual(Buffer.from(wide.slice().buffer));
        expect(Buffer.from(read.get('narrow')!.data.buffer)).toEqual(Buffer.from(narrow.slice().buffer));
      }),
    );
  });

  it('writes only the part of a buffer that a tensor is, and reads from the middle of one', () => {
    const data = Float64Array.of(1, 2, 3, 4).subarray(1, 3);
    const bytes = writeSafetensors({ tensors: new Map([['x', { shape: [2], data }]]), metadata: {} });
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const { tensors } = readSafetensors(shifted.subarray(3), 'file');
    expect(tensors.get('x')!.data).toEqual(Float64Array.of(2, 3));
  });

  it('begins its data at a multiple of 8 bytes, however long the header is', () => {
    for (let length = 0; length < 9; length++) {
      const bytes = writeSafetensors({ tensors: some, metadata: { text: 'x'.repeat(length) } });
      expect((8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))) % 8).toBe(0);
    }
  });

  it('is refused by name wherever it is cut short', () => {
    const whole = writeSafetensors({ tensors: some, metadata });
    for (let length = 0; length < whole.length; length++) {
      expect(() => readSafetensors(whole.subarray(0, length), '7.safetensors'), `${length}`).toThrow(
        /^7\.safetensors is no sound safetensors file: /,
      );
    }
  });

  it.each<[string, unknown, RegExp]>([
    ['of integers', { x: entry({ dtype: 'I64' }) }, /"x" is I64, and only F32 and F64/],
    ['of halves', { x: entry({ dtype: 'F16' }) }, /"x" is F16/],
    ['whose data lies beyond the end', { x: entry({ data_offsets: [8, 16] }) }, /"x" is not all there/],
    ['whose data is shorter than its shape', { x: entry({ shape: [3] }) }, /"x" is not all there/],
    ['whose data begins before the header ends', { x: entry({ data_offsets: [-8, 0] }) }, /data_offsets/],
    ['whose data ends before it begins', { x: entry({ data_offsets: [8, 0] }) }, /not all there/],
    ['whose header is no JSON', '{"x": ', /header is no JSON/],
  ])('is refused: %s', (_, header, sentence) => {
    expect(() => readSafetensors(fileOf(header, 8), 'file')).toThrow(sentence);
  });

  it.each<[string, unknown]>([
    ['offsets that are no whole numbers', { x: entry({ data_offsets: [0.5, 8.5] }) }],
    ['a type that every object has', { x: entry({ dtype: 'constructor' }) }],
  ])('is refused with a sentence of its own: %s', (_, header) => {
    expect(() => readSafetensors(fileOf(header, 8), 'file')).toThrow(/^file is no sound safetensors file: /);
  });
  it.each<[string, unknown]>([
    ['a header that is null', 'null'],
    ['an entry that is null', { x: null }],
    ['an entry without a shape', { x: { dtype: 'F32', data_offsets: [0, 8] } }],
    ['offsets that are no list', { x: entry({ data_offsets: 3 }) }],
    ['a shape of fractions', { x: entry({ shape: [0.5, 4] }) }],
    ['a shape with signs', { x: entry({ shape: [-1, -2] }) }],
  ])('is refused with a sentence of its own: %s', (_, header) => {
    expect(() => readSafetensors(fileOf(header, 8), 'file')).toThrow(/^file is no sound safetensors file: /);
  });

  it('is refused where the header says it is longer than any file', () => {
    const bytes = fileOf({}, 0);
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, 2n ** 63n, true);
    expect(() => readSafetensors(bytes, 'file')).toThrow(/its header passes its end/);
  });
});
