import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { BallastError } from '../errors.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';
import { toFloat16, toFloat32 } from './float16.js';
import type { Tensor, TensorData, TensorMap, TensorSpec, TensorType } from './tensor.js';

/** An inference request, ready to be sent. */
export interface OipRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What a model takes and answers, as its metadata says. */
export interface OipModel {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

// Elements written to JSON in one turn of the event loop: one or two milliseconds.
const ELEMENTS_A_TURN = 8192;

/** Bytes of JSON before the binary tensors. */
export const HEADER_LENGTH = 'inference-header-content-length';

type NumberArray = Exclude<TensorData, string[]>;

interface NumberArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): NumberArray;
}

interface Datatype {
  readonly name: string;
  readonly type: TensorType;
  /** How the binary extension stores it, and JSON but for FP16, whose numbers are read as float32. */
  readonly Stored: NumberArrayConstructor;
}

const datatypes: readonly Datatype[] = [
  { name: 'FP32', type: 'float32', Stored: Float32Array },
  { name: 'FP64', type: 'float64', Stored: Float64Array },
  { name: 'FP16', type: 'float16', Stored: Uint16Array },
  { name: 'INT8', type: 'int8', Stored: Int8Array },
  { name: 'INT16', type: 'int16', Stored: Int16Array },
  { name: 'INT32', type: 'int32', Stored: Int32Array },
  { name: 'INT64', type: 'int64', Stored: BigInt64Array },
  { name: 'UINT8', type: 'uint8', Stored: Uint8Array },
  { name: 'UINT16', type: 'uint16', Stored: Uint16Array },
  { name: 'UINT32', type: 'uint32', Stored: Uint32Array },
  { name: 'UINT64', type: 'uint64', Stored: BigUint64Array },
  { name: 'BOOL', type: 'bool', Stored: Uint8Array },
];

const datatypeOf = new Map(datatypes.map((datatype) => [datatype.type, datatype]));

const tensorsSchema = z
  .array(z.object({ name: z.string().min(1), datatype: z.string(), shape: z.array(z.int().min(-1)) }))
  .min(1);
const modelSchema = z.object({ inputs: tensorsSchema, outputs: tensorsSchema });
const serverSchema = z.object({ extensions: z.array(z.string()) });
const answerSchema = z.object({
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.string(),
      shape: z.array(z.int().min(0)),
      parameters: z.looseObject({ binary_data_size: z.int().min(0).optional() }).nullish(),
      data: z.array(z.unknown()).optional(),
    }),
  ),
});

type AnsweredOutput = z.output<typeof answerSchema>['outputs'][number];

/**
 * Reads a model's metadata.
 * @param host - of the remote, for errors
 * @throws BallastError unavailable where it is none; invalid-model where a tensor has a datatype without numbers
 */
export function readModelMetadata(host: string, body: Uint8Array): OipModel {
  const model = parse(host, 'metadata', body, modelSchema);
  const specOf = ({ name, datatype, shape }: z.output<typeof tensorsSchema>[number]): TensorSpec => {
    const known = datatypes.find((candidate) => candidate.name === datatype);
    if (known) return { name, type: known.type, dims: shape };
    const names = datatypes.map((candidate) => candidate.name).join(', ');
    throw new BallastError(
      'invalid-model',
      `The remote classifier at ${host} has a tensor "${quote(name)}" of datatype ${quote(datatype)}; only ${names} can be served.`,
    );
  };
  return { inputs: model.inputs.map(specOf), outputs: model.outputs.map(specOf) };
}

/** Whether a server's metadata lists the binary tensor data extension. */
export function hasBinaryData(host: string, body: Uint8Array): boolean {
  return parse(host, 'metadata', body, serverSchema).extensions.includes('binary_tensor_data');
}

/**
 * Writes an inference request. Long tensors are written to JSON over several turns of the event loop.
 * @param inputs - a tensor for each of `specs`; float32 where the model takes float16 is turned to that
 * @param binary - send and ask for little-endian bytes after the JSON
 * @throws BallastError invalid-input where an input is missing or has another type, or JSON cannot carry its values
 */
export async function writeInferRequest(
  inputs: TensorMap,
  specs: readonly TensorSpec[],
  fetches: readonly string[],
  binary: boolean,
): Promise<OipRequest> {
  const tail: Uint8Array[] = [];
  const parts: string[] = [];
  for (const spec of specs) {
    const { dims, data } = inputFor(spec, inputs);
    const about = `"name":${JSON.stringify(spec.name)},"datatype":"${datatypeOf.get(spec.type)!.name}","shape":[${dims.join(',')}]`;
    if (binary) {
      tail.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      parts.push(`{${about},"parameters":{"binary_data_size":${data.byteLength}}}`);
    } else parts.push(`{${about},"data":[${await jsonElements(spec, data)}]}`);
  }
  const outputs = fetches.map((name) => ({ name, ...(binary && { parameters: { binary_data: true } }) }));
  const json = Buffer.from(`{"inputs":[${parts.join(',')}],"outputs":${JSON.stringify(outputs)}}`);
  return binary
    ? {
        headers: { 'content-type': 'application/octet-stream', [HEADER_LENGTH]: String(json.byteLength) },
        body: Buffer.concat([json, ...tail]),
      }
    : { headers: { 'content-type': 'application/json' }, body: json };
}

function inputFor(spec: TensorSpec, inputs: TensorMap): Pick<Tensor, 'dims'> & { data: NumberArray } {
  const tensor = Object.hasOwn(inputs, spec.name) ? inputs[spec.name] : undefined;
  if (!tensor) throw new BallastError('invalid-input', `The input "${spec.name}" is missing.`);
  const { type, dims, data } = tensor;
  if (spec.type === 'float16' && data instanceof Float32Array) return { dims, data: toFloat16(data) };
  if (type === spec.type && !Array.isArray(data)) return { dims, data };
  throw new BallastError('invalid-input', `The input "${spec.name}" is ${type}; it must be ${spec.type}.`);
}

async function jsonElements({ name, type }: TensorSpec, data: NumberArray): Promise<string> {
  const texts: string[] = [];
  for (let begin = 0; begin < data.length; begin += ELEMENTS_A_TURN) {
    if (begin > 0) await nextTurn();
    const bits = data.subarray(begin, begin + ELEMENTS_A_TURN);
    const chunk = type === 'float16' ? toFloat32(bits) : bits;
    const text = type === 'bool' ? Array.from(chunk, Boolean).join(',') : chunk.join(',');
    if (/[NI]/.test(text)) {
      throw new BallastError(
        'invalid-input',
        `The input "${name}" has a value that is not finite as ${datatypeOf.get(type)!.name}, which JSON cannot carry to the remote classifier.`,
      );
    }
    texts.push(text);
  }
  return texts.join(',');
}

/**
 * Reads the answer to an inference request.
 * @param host - of the remote, for errors
 * @param headerLength - the answer's header of that name; null where all of it is JSON
 * @param specs - the outputs that were asked for
 * @param rows - samples that were sent
 * @returns the outputs asked for, float16 ones as float32, in memory of their own
 * @throws BallastError unavailable, naming what was wrong
 */
export function readInferAnswer(
  host: string,
  body: Uint8Array,
  headerLength: string | null,
  specs: readonly TensorSpec[],
  rows: number,
): TensorMap {
  const jsonBytes = headerLength === null ? body.byteLength : Number(headerLength);
  if (!Number.isInteger(jsonBytes) || jsonBytes < 0 || jsonBytes > body.byteLength) {
    throw garbled(
      host,
      `its Inference-Header-Content-Length is ${quote(String(headerLength))}, the answer has ${body.byteLength} bytes`,
    );
  }
  const wide = specs.some(({ type }) => type === 'int64' || type === 'uint64');
  const { outputs } = parse(host, 'answer', body.subarray(0, jsonBytes), answerSchema, wide);
  const tails = new Map<AnsweredOutput, Uint8Array>();
  let offset = jsonBytes;
  for (const output of outputs) {
    const size = output.parameters?.binary_data_size;
    if (size === undefined) continue;
    if (offset + size > body.byteLength) {
      throw garbled(
        host,
        `output "${quote(output.name)}" has fewer bytes than its binary_data_size of ${size}`,
      );
    }
    tails.set(output, body.subarray(offset, (offset += size)));
  }
  const read = specs.map((spec): [string, Tensor] => {
    const output = outputs.find(({ name }) => name === spec.name);
    if (!output) throw garbled(host, `output "${spec.name}" is missing`);
    return [spec.name, readOutput(host, output, tails.get(output), spec, rows)];
  });
  return Object.fromEntries(read);
}

function readOutput(
  host: string,
  output: AnsweredOutput,
  bytes: Uint8Array | undefined,
  spec: TensorSpec,
  rows: number,
): Tensor {
  const { name, datatype, shape } = output;
  const right = datatypeOf.get(spec.type)!;
  const wrong = (what: string): BallastError => garbled(host, `output "${name}" ${what}`);
  if (datatype !== right.name) throw wrong(`is ${quote(datatype)}, although the metadata say ${right.name}`);
  if (shape[0] !== rows) throw wrong(`has the shape [${shape.join(', ')}] for ${rows} samples`);
  const fits = shape.length === spec.dims.length;
  if (!fits || spec.dims.some((dim, axis) => axis > 0 && dim >= 0 && dim !== shape[axis])) {
    throw wrong(`has the shape [${shape.join(', ')}], although the metadata say [${spec.dims.join(', ')}]`);
  }
  const count = shape.reduce((product, dim) => product * dim, 1);
  const type = spec.type === 'float16' ? 'float32' : spec.type;
  if (bytes) {
    const size = count * right.Stored.BYTES_PER_ELEMENT;
    if (bytes.byteLength !== size) throw wrong(`has ${bytes.byteLength} bytes; its shape takes ${size}`);
    // A copy: it begins where its elements are aligned, and does not keep the rest of the answer in memory.
    const stored = new right.Stored(count);
    new Uint8Array(stored.buffer).set(bytes);
    return { type, dims: shape, data: spec.type === 'float16' ? toFloat32(stored) : stored };
  }
  if (!output.data) throw wrong('has neither data nor a binary_data_size');
  const values: readonly unknown[] = output.data.some(Array.isArray)
    ? output.data.flat(Infinity)
    : output.data;
  if (values.length !== count) throw wrong(`has ${values.length} elements; its shape takes ${count}`);
  const data = type === 'float32' ? new Float32Array(count) : new right.Stored(count);
  const bad = values.findIndex((value, i) => !setElement(data, i, value));
  if (bad >= 0) throw wrong(`has an element ${bad} that is no ${right.name}`);
  return { type, dims: shape, data };
}

/** Sets an element to what JSON said; false where it is no such number, or one that does not fit. */
function setElement(data: NumberArray, index: number, value: unknown): boolean {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const exact = typeof value === 'string' ? /^-?\d{1,20}$/.test(value) : Number.isSafeInteger(value);
    if (!exact) return false;
    data[index] = BigInt(value as string | number);
    return data[index] === BigInt(value as string | number);
  }
  if (data instanceof Float32Array || data instanceof Float64Array) {
    // null is how many servers write NaN; strings are numbers that `parse` has quoted.
    data[index] = value === null ? Number.NaN : typeof value === 'string' ? Number(value) : (value as number);
    return value === null || typeof value === 'number' || (typeof value === 'string' && NUMBER.test(value));
  }
  if (typeof value !== 'number' && typeof value !== 'boolean') return false;
  data[index] = Number(value);
  return data[index] === Number(value);
}

const NUMBER = /^(?:NaN|-?(?:Infinity|\d+))$/;

/** Strings are matched first, so that what stands in them is left alone; fractions and exponents are no integers. */
const LONG_INTEGERS = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g;
const NOT_FINITE = /"[^"\\]*(?:\\.[^"\\]*)*"|NaN|-?Infinity/g;

/**
 * Parses JSON and checks it. NaN and Infinity, which Python's writers let stand bare, come back as strings, and so
 * do long integers where `wide` says that there are 64-bit ones, since a number would round them.
 */
function parse<T>(host: string, what: string, body: Uint8Array, schema: z.ZodType<T>, wide = false): T {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8');
  const exact = wide ? quoteAll(text, LONG_INTEGERS) : text;
  let parsed: unknown;
  try {
    parsed = parseLeniently(exact);
  } catch (error) {
    throw garbled(host, `its ${what} is no JSON`, error);
  }
  const checked = schema.safeParse(parsed, TELLING);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw garbled(host, `its ${what} is wrong at "${quote(issue.path.join('.'))}": ${foundAndRight(issue)}`);
}

function parseLeniently(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(quoteAll(text, NOT_FINITE));
  }
}

function quoteAll(text: string, tokens: RegExp): string {
  return text.replace(tokens, (token) => (token.startsWith('"') ? token : `"${token}"`));
}

/** What a remote said, short enough for a sentence. */
function quote(text: string): string {
  return text.slice(0, 64);
}

function garbled(host: string, what: string, cause?: unknown): BallastError {
  return new BallastError(
    'unavailable',
    `The remote classifier at ${host} did not answer as the Open Inference Protocol says: ${what}.`,
    { cause },
  );
}
