import { LRUCache } from 'lru-cache';
import type { z } from 'zod';
import { BallastError, messageOf } from '../../errors.js';
import type { Tensor, TensorMap, TensorSpec } from '../../runtime/tensor.js';
import { TELLING, whereFoundAndRight } from '../../schema-mistake.js';
import { readBinaryData } from './binary-data.js';
import { datatypeNamed, datatypeNames, datatypeOf } from './datatypes.js';
import { parseExactly } from './exact-json.js';
import { inferRequestSchema } from './schemas.js';
import { readJsonData } from './tensor-data.js';

type ParsedRequest = z.output<typeof inferRequestSchema>;
type RequestInput = ParsedRequest['inputs'][number];

/**
 * JSON that stood before binary tensors, and what it says: a client sends the same text with every tensor of a shape.
 * Its requests share what was parsed, which nobody changes.
 */
const parsedBefore = new LRUCache<string, ParsedRequest>({ max: 64 });
const LONGEST_REMEMBERED = 4096;

/** An output that a request asks for. */
export interface RequestedOutput {
  readonly name: string;
  /** Answer as bytes after the JSON. */
  readonly binary: boolean;
  /** Answer the n greatest elements of each row instead of the tensor. */
  readonly classification?: number;
}

/** An inference request, read and checked. Plain data: it travels between threads. */
export interface InferRequest {
  readonly id: string | undefined;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly inputs: TensorMap;
  /** Undefined where the request names none: then all outputs are meant. */
  readonly outputs: readonly RequestedOutput[] | undefined;
  /** Outputs that say nothing of their own come as bytes. */
  readonly binaryOutput: boolean;
}

/**
 * Reads an inference request of the Open Inference Protocol.
 * @param body - JSON, and the binary tensors after it
 * @param jsonBytes - how much of the body is JSON
 * @param specs - the model's inputs; -1 where a dimension may vary
 * @param mayLack - whether some of them, not all, may be left out
 * @returns tensors that may look into the body's memory
 * @throws BallastError invalid-input: what came, what is right, and where
 */
export function readInferRequest(
  body: Uint8Array,
  jsonBytes: number,
  specs: readonly TensorSpec[],
  mayLack = false,
): InferRequest {
  const request = parseRequest(body.subarray(0, jsonBytes));
  const binary = new BinaryTail(body, jsonBytes);
  const inputs: Record<string, Tensor> = {};
  for (const input of request.inputs) {
    if (Object.hasOwn(inputs, input.name)) {
      throw new BallastError('invalid-input', `Input "${input.name}" came twice.`);
    }
    inputs[input.name] = readInput(input, specOf(input, specs), binary);
  }
  binary.expectEnd();
  const missing = specs.find(({ name }) => !Object.hasOwn(inputs, name));
  if (missing && !(mayLack && request.inputs.length > 0)) {
    throw new BallastError('invalid-input', `Input "${missing.name}" is missing.`);
  }
  checkBatch(inputs);
  const parameters = request.parameters ?? {};
  const { id, outputs = [] } = request;
  return {
    id,
    parameters,
    inputs,
    outputs: outputs.length === 0 ? undefined : outputs.map((output) => requestedOutput(output, parameters)),
    binaryOutput: parameters['binary_data_output'] === true,
  };
}

function parseRequest(json: Uint8Array): ParsedRequest {
  const text = Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString('utf8');
  // A long text, with data in it, would be hashed to be found.
  const isShort = text.length <= LONGEST_REMEMBERED;
  const known = isShort ? parsedBefore.get(text) : undefined;
  if (known) return known;
  let parsed: unknown;
  try {
    parsed = parseExactly(text, hasWideInputs);
  } catch (error) {
    throw new BallastError('invalid-input', `The request is no JSON: ${messageOf(error)}.`);
  }
  const checked = inferRequestSchema.safeParse(parsed, TELLING);
  if (checked.success) {
    const onlyBinary = checked.data.inputs.every(({ data }) => data === undefined);
    if (onlyBinary && isShort) parsedBefore.set(text, checked.data);
    return checked.data;
  }
  const [issue] = checked.error.issues;
  throw new BallastError(
    'invalid-input',
    `The request is no inference request: ${whereFoundAndRight(issue)}.`,
  );
}

function hasWideInputs(parsed: unknown): boolean {
  const request = inferRequestSchema.safeParse(parsed);
  return request.success && request.data.inputs.some(({ datatype }) => /^U?INT64$/.test(datatype));
}

function specOf(input: RequestInput, specs: readonly TensorSpec[]): TensorSpec {
  const spec = specs.find(({ name }) => name === input.name);
  if (spec) return spec;
  const known = specs.map(({ name }) => `"${name}"`).join(', ');
  throw new BallastError(
    'invalid-input',
    `There is no input "${input.name.slice(0, 64)}"; this model takes ${known}.`,
  );
}

function readInput(input: RequestInput, spec: TensorSpec, binary: BinaryTail): Tensor {
  const { name, shape } = input;
  const datatype = datatypeNamed(input.datatype);
  const right = datatypeOf(spec.type);
  if (!datatype) {
    const known = datatypeNames.join(', ');
    throw new BallastError(
      'invalid-input',
      `Input "${name}" has the datatype "${input.datatype.slice(0, 32)}", which is none of ${known}.`,
    );
  }
  if (datatype !== right) {
    throw new BallastError(
      'invalid-input',
      `Input "${name}" came as ${datatype.name}; this model takes ${right.name}.`,
    );
  }
  const fits =
    shape.length === spec.dims.length && spec.dims.every((dim, axis) => dim < 0 || dim === shape[axis]);
  if (!fits) {
    throw new BallastError(
      'invalid-input',
      `Input "${name}" came with the shape [${shape.join(', ')}]; this model takes [${spec.dims.join(', ')}]${spec.dims.includes(-1) ? ', where -1 is any length' : ''}.`,
    );
  }
  if (shape.includes(0)) {
    throw new BallastError(
      'invalid-input',
      `Input "${name}" came with the shape [${shape.join(', ')}]: it is empty.`,
    );
  }
  refuseSharedMemory(`Input "${name}"`, input.parameters);
  const size = input.parameters?.['binary_data_size'];
  if (size === undefined) {
    if (input.data === undefined) {
      throw new BallastError('invalid-input', `Input "${name}" has neither data nor a binary_data_size.`);
    }
    return { type: spec.type, dims: shape, data: readJsonData(name, input.data, shape, datatype) };
  }
  if (input.data !== undefined) {
    throw new BallastError('invalid-input', `Input "${name}" has both data and a binary_data_size.`);
  }
  return {
    type: spec.type,
    dims: shape,
    data: readBinaryData(name, binary.take(name, size), shape, datatype),
  };
}

/** The bytes after the JSON, handed out in the order of the inputs. */
class BinaryTail {
  constructor(
    private readonly body: Uint8Array,
    private offset: number,
  ) {}

  take(name: string, size: unknown): Uint8Array {
    const left = this.body.byteLength - this.offset;
    if (!Number.isSafeInteger(size) || (size as number) < 0) {
      throw new BallastError(
        'invalid-input',
        `Input "${name}": its binary_data_size must be a number of bytes.`,
      );
    }
    if ((size as number) > left) {
      throw new BallastError(
        'invalid-input',
        `Input "${name}" has a binary_data_size of ${String(size)}; ${left} bytes are left after the JSON and the inputs before it. Inference-Header-Content-Length must give the length of the JSON.`,
      );
    }
    this.offset += size as number;
    return this.body.subarray(this.offset - (size as number), this.offset);
  }

  expectEnd(): void {
    const left = this.body.byteLength - this.offset;
    if (left > 0) {
      throw new BallastError('invalid-input', `${left} bytes are left after the last input.`);
    }
  }
}

/** Ballast has no shared memory; an answer beside the region would leave the client with what lay there before. */
function refuseSharedMemory(tensor: string, parameters: Readonly<Record<string, unknown>> = {}): void {
  if (parameters['shared_memory_region'] === undefined) return;
  throw new BallastError(
    'invalid-input',
    `${tensor} names a shared_memory_region, which this server does not have; send and take its data as JSON or binary.`,
  );
}

function checkBatch(inputs: TensorMap): void {
  const counts = Object.entries(inputs).map(([name, { dims }]) => [name, dims[0] ?? 1] as const);
  if (counts.some(([, count]) => count !== counts[0][1])) {
    const told = counts.map(([name, count]) => `"${name}": ${count}`).join(', ');
    throw new BallastError(
      'invalid-input',
      `The inputs have different batch sizes (${told}); the first dimension must be the same.`,
    );
  }
}

function requestedOutput(
  { name, parameters: own = {} }: { name: string; parameters?: Record<string, unknown> | undefined },
  parameters: Readonly<Record<string, unknown>>,
): RequestedOutput {
  refuseSharedMemory(`Output "${name}"`, own);
  const classification = own['classification'];
  const binary = own['binary_data'] ?? parameters['binary_data_output'];
  if (classification === undefined) return { name, binary: binary === true };
  if (!Number.isInteger(classification) || (classification as number) < 1) {
    throw new BallastError(
      'invalid-input',
      `Output "${name}": classification is the number of classes to answer, 1 or more.`,
    );
  }
  return { name, binary: binary === true, classification: classification as number };
}
