import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Tensor } from '../../runtime/tensor.js';
import { writeBinaryData } from './binary-data.js';
import { datatypeOf } from './datatypes.js';
import { jsonElements } from './json-data.js';

// Elements written to JSON in one turn of the event loop: one or two milliseconds.
const ELEMENTS_A_TURN = 8192;

/** An output on its way out. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
  readonly binary: boolean;
}

/** What stands before the outputs in an answer. */
export interface ResponseHead {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string | undefined;
  readonly parameters?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
}

/** The body of an answer. */
export interface InferResponse {
  readonly body: string | Uint8Array;
  /** Bytes of JSON at the body's beginning, where binary tensors follow; undefined where all is JSON. */
  readonly jsonBytes: number | undefined;
}

/**
 * Writes the answer to an inference request: JSON, then the binary tensors in the order of the outputs. Long
 * tensors are written over several turns of the event loop.
 * @throws BallastError impossible where an output that goes as JSON has an element that is not finite
 */
export async function writeInferResponse(
  head: ResponseHead,
  outputs: readonly NamedTensor[],
): Promise<InferResponse> {
  let json = `${JSON.stringify(head).slice(0, -1)},"outputs":[`;
  const tail: Uint8Array[] = [];
  let sinceTurn = 0;
  let separator = '';
  for (const { name, tensor, binary } of outputs) {
    json += `${separator}{"name":${JSON.stringify(name)},"datatype":"${datatypeOf(tensor.type).name}","shape":[${tensor.dims.join(',')}]`;
    separator = ',';
    if (binary) {
      const bytes = writeBinaryData(tensor);
      tail.push(bytes);
      json += `,"parameters":{"binary_data_size":${bytes.byteLength}}}`;
      continue;
    }
    json += ',"data":[';
    for (let begin = 0; begin < tensor.data.length; begin += ELEMENTS_A_TURN) {
      if (sinceTurn >= ELEMENTS_A_TURN) {
        await nextTurn();
        sinceTurn = 0;
      }
      const end = Math.min(begin + ELEMENTS_A_TURN, tensor.data.length);
      json += (begin === 0 ? '' : ',') + jsonElements(name, tensor, begin, end);
      sinceTurn += end - begin;
    }
    json += ']}';
  }
  json += ']}';
  return tail.length === 0 ? { body: json, jsonBytes: undefined } : withTail(json, tail);
}

/** JSON and the bytes after it, in one piece. */
function withTail(json: string, tail: readonly Uint8Array[]): InferResponse {
  const jsonBytes = Buffer.byteLength(json);
  const tailBytes = tail.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const body = Buffer.allocUnsafe(jsonBytes + tailBytes);
  body.write(json);
  let at = jsonBytes;
  for (const bytes of tail) {
    body.set(bytes, at);
    at += bytes.byteLength;
  }
  return { body, jsonBytes };
}
