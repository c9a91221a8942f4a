import { parentPort } from 'node:worker_threads';
import { BallastError, messageOf, type ErrorCode } from '../errors.js';
import {
  corrupt,
  type CorruptionName,
  type CorruptOptions,
  type Picture,
  type Severity,
} from './corruptions/corruption.js';

/** What the main thread posts: the bytes of `picture` are transferred. */
export interface CorruptionRequest {
  readonly id: number;
  readonly picture: Picture;
  readonly name: CorruptionName;
  readonly severity: Severity;
  readonly options: CorruptOptions;
}

/** What this thread posts back for each request. */
export type CorruptionReply =
  | { readonly id: number; readonly picture: Picture }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

const port = parentPort;
if (port === null) throw new Error('corruption-worker.js runs as a worker thread only.');

port.on('message', (request: CorruptionRequest) => {
  void answer(request).then((reply) => {
    port.postMessage(reply, 'picture' in reply ? [reply.picture.data.buffer as ArrayBuffer] : []);
  });
});

async function answer({ id, picture, name, severity, options }: CorruptionRequest): Promise<CorruptionReply> {
  try {
    return { id, picture: await corrupt(picture, name, severity, options) };
  } catch (error) {
    const code = error instanceof BallastError ? error.code : 'internal';
    return { id, error: { code, message: messageOf(error) } };
  }
}
