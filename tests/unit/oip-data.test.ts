import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBinaryData, writeBinaryData } from '#ballast/server/oip/binary-data.js';
import { datatypeNamed, datatypeNames, type DatatypeInfo } from '#ballast/server/oip/datatypes.js';
import { parseExactly } from '#ballast/server/oip/exact-json.js';
import { readInferRequest } from '#ballast/server/oip/infer-request.js';
import { writeInferResponse } from '#ballast/server/oip/infer-response.js';
import { jsonElements } from '#ballast/server/oip/json-data.js';
import { readJsonData } from '#ballast/server/oip/tensor-data.js';
import type { Tensor, TensorData } from '#ballast/runtime/tensor.js';

const datatype = (name: string): DatatypeInfo => datatypeNamed(name)!;

/** Values that a datatype can hold, as JSON may carry them. */
function valuesOf(name: string): fc.Arbitrary<unknown> {
  const { range } = datatype(name);
  if (range) return fc.bigInt({ min: range[0], max: range[1] });
  if (name === 'BOOL') return fc.boolean();
  if (name === 'BYTES') return fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
  if (name === 'FP64') return fc.double({ noNaN: true, noDefaultInfinity: true });
  if (name === 'FP16') return fc.integer({ min: -2048, max: 2048 });
  return fc.float({ noNaN: true, noDefaultInfinity: true });
}

const digits = (value: unknown): string => {
  if (typeof value === 'bigint') return String(value);
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
};

describe('tensors', () => {
  it.each(datatypeNames)('%s survives JSON and bytes, to the last digit', (name) => {
    fc.assert(
      fc.property(fc.array(valuesOf(name), { minLength: 1, maxLength: 20 }), fc.nat(7), (values, padding) => {
        const shape = [values.length];
        const text = `[${values.map(digits).join(',')}]`;
        const parsed = parseExactly(text, () => name.endsWith('INT64'));
        const data = readJsonData('x', parsed, shape, datatype(name));
        const tensor: Tensor = { type: datatype(name).type, dims: shape, data };
        const back: unknown = JSON.parse(`[${jsonElements('x', tensor, 0, values.length)}]`);
        if (!name.endsWith('INT64')) expect(back).toEqual(JSON.parse(text));
        else expect(jsonElements('x', tensor, 0, values.length)).toBe(values.map(digits).join(','));
        const bytes = writeBinaryData(tensor);
        const shifted = Buffer.concat([Buffer.alloc(padding), bytes]).subarray(padding);
        expect(readBinaryData('x', shifted, shape, datatype(name))).toEqual(data);
      }),
    );
  });

  it('nested data is flattened where it has the shape, and refused where not', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }), (shape) => {
        let next = 0;
        const nest = (axis: number): unknown =>
          axis === shape.length ? next++ : Array.from({ length: shape[axis] }, () => nest(axis + 1));
        const nested = nest(0);
        const flat = readJsonData('x', nested, shape, datatype('INT32'));
        expect([...(flat as Int32Array)]).toEqual(Array.from({ length: next }, (_, i) => i));
        expect(() => readJsonData('x', [nested], shape, datatype('INT32'))).toThrow(/x/);
        expect(() => readJsonData('x', nested, [...shape, 2], datatype('INT32'))).toThrow(/x/);
      }),
    );
  });

  it('64-bit integers are exact, and digits within strings and fractions stay as they are', () => {
    const text =
      '{"a":9007199254740993,"b":"12345678901234567890","c":0.1234567890123456,"d":-1e-20,"e\\"9007199254740993":[-9223372036854775808]}';
    expect(parseExactly(text, () => true)).toEqual({
      a: '9007199254740993',
      b: '12345678901234567890',
      c: 0.1234567890123456,
      d: -1e-20,
      'e"9007199254740993': ['-9223372036854775808'],
    });
    expect(parseExactly(text, () => false)).toMatchObject({ a: 9007199254740992 });
  });

  it('BYTES that end early or are no text are refused', () => {
    const bytes = writeBinaryData({ type: 'string', dims: [2], data: ['ab', 'ü'] });
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => readBinaryData('x', bytes.subarray(0, length), [2], datatype('BYTES'))).toThrow(/"x"/);
    }
    expect(() => readBinaryData('x', Buffer.from([1, 0, 0, 0, 0xff]), [1], datatype('BYTES'))).toThrow(
      /UTF-8/,
    );
  });

  it('BYTES with a zero character are refused, which would be cut there', () => {
    const bytes = writeBinaryData({ type: 'string', dims: [2], data: ['ab', 'a\0b'] });
    const told = /"x", element 1.* zero character/;
    expect(() => readBinaryData('x', bytes, [2], datatype('BYTES'))).toThrow(told);
    expect(() => readJsonData('x', ['ab', 'a\0b'], [2], datatype('BYTES'))).toThrow(told);
  });

  it('a negative zero keeps its sign', () => {
    for (const data of [Float32Array.of(-0, 0, 1), Float64Array.of(-0, 0, 1)]) {
      const type = data instanceof Float32Array ? 'float32' : 'float64';
      expect(jsonElements('y', { type, dims: [3], data }, 0, 3)).toBe('-0.0,0,1');
    }
    const halves: Tensor = { type: 'float16', dims: [2], data: Uint16Array.of(0x8000, 0x3c00) };
    expect(jsonElements('y', halves, 0, 2)).toBe('-0.0,1');
  });

  it('what is not finite is found', () => {
    for (const [name, data] of [
      ['FP16', Uint16Array.of(0, 0x7c00)],
      ['FP16', Uint16Array.of(0, 0xfe00)],
      ['FP32', Float32Array.of(0, NaN)],
      ['FP64', Float64Array.of(0, -Infinity)],
    ] as [string, Exclude<TensorData, string[]>][]) {
      const bytes = new Uint8Array(data.buffer as ArrayBuffer);
      expect(() => readBinaryData('x', bytes, [2], datatype(name))).toThrow(/element 1/);
    }
    expect(() => readBinaryData('x', Uint8Array.of(1, 2), [2], datatype('BOOL'))).toThrow(/element 1/);
    const tensor: Tensor = { type: 'float32', dims: [2], data: Float32Array.of(0, NaN) };
    expect(() => jsonElements('y', tensor, 0, 2)).toThrow(/"y", element 1/);
  });
});

describe('requests and answers', () => {
  const specs = [{ name: 'x', type: 'float32', dims: [-1, 2] }] as const;

  it('never crash on noise', () => {
    const names = fc.constantFrom(
      'x',
      'inputs',
      'outputs',
      'shape',
      'datatype',
      'data',
      'name',
      'parameters',
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom<unknown>(0, 1, 2, -1, 1.5, null, true, '', 'x', 'FP32', 'INT64', 'binary_data_size'),
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(names, tie('tree'), { maxKeys: 5 }),
      ),
    }));
    fc.assert(
      fc.property(tree, fc.uint8Array({ maxLength: 20 }), (value, tail) => {
        const json = Buffer.from(JSON.stringify(value));
        try {
          readInferRequest(Buffer.concat([json, tail]), json.byteLength, specs);
        } catch (error) {
          expect(error).toMatchObject({ name: 'BallastError', code: 'invalid-input' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('long tensors are written as short ones are', async () => {
    const data = Float32Array.from({ length: 40_001 }, (_, i) => i / 7);
    const tensor: Tensor = { type: 'float32', dims: [1, data.length], data };
    const { body } = await writeInferResponse({ model_name: 'm', model_version: '1' }, [
      { name: 'y', tensor, binary: false },
    ]);
    expect(JSON.parse(body as string)).toEqual({
      model_name: 'm',
      model_version: '1',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, data.length], data: [...data] }],
    });
  });
});
