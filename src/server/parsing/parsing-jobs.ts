import { checkContainers } from './nesting.js';
import { readFilesJson } from './files-json.js';
import { readInferRequest, type InferRequest } from '../oip/infer-request.js';
import { readRawRequest } from '../oip/raw-request.js';
import type { EncodedInputs } from '../../pipeline/serving.js';
import type { TensorSpec } from '../../runtime/tensor.js';

/** A body to parse, and what is needed to know what is right. Plain data: it travels between threads. */
export type ParsingJob =
  | {
      readonly kind: 'files';
      readonly body: Uint8Array;
      readonly names: readonly string[];
      readonly maxFiles: number;
    }
  | {
      readonly kind: 'infer';
      readonly body: Uint8Array;
      readonly jsonBytes: number;
      readonly specs: readonly TensorSpec[];
      /** Whether some of the inputs may be left out. */
      readonly mayLack: boolean;
    };

/** What each kind of job makes. */
export interface Parsed {
  readonly files: EncodedInputs;
  readonly infer: InferRequest;
}

/**
 * Parses a body, in whichever thread.
 * @throws BallastError as `checkContainers`, `readFilesJson`, `readRawRequest` and `readInferRequest`
 */
export function parse(job: ParsingJob): Parsed[ParsingJob['kind']] {
  checkContainers(job.kind === 'files' ? job.body : job.body.subarray(0, job.jsonBytes));
  if (job.kind === 'files') return readFilesJson(job.body, job.names, job.maxFiles);
  if (job.jsonBytes === 0 && job.body.byteLength > 0) return readRawRequest(job.body, job.specs);
  return readInferRequest(job.body, job.jsonBytes, job.specs, job.mayLack);
}
