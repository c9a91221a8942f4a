import { parentPort } from 'node:worker_threads';
import { BallastError, messageOf, type ErrorCode } from '../errors.js';
import { BEHIND_THE_MAIN_THREAD, lowerThreadPriority } from '../runtime/thread-priority.js';
import type { FixedPoint } from './lame-sessions.js';
import { solveLame, type LameProblem } from './lame-solver.js';

/** What the main thread posts: the arrays of `problem` are transferred, so this thread may overwrite them. */
export interface LameRequest {
  readonly id: number;
  readonly problem: LameProblem;
}

/** What this thread posts back for each request. */
export type LameReply =
  | { readonly id: number; readonly result: FixedPoint }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

const port = parentPort;
if (port === null) throw new Error('lame-worker.js runs as a worker thread only.');

lowerThreadPriority(BEHIND_THE_MAIN_THREAD);

// One problem at a time: side by side they would share the same cores and hold the memory of all.
let last = Promise.resolve();
port.on('message', (request: LameRequest) => {
  last = last.then(async () => {
    const reply = await answer(request);
    port.postMessage(reply, 'result' in reply ? [reply.result.assignments.buffer as ArrayBuffer] : []);
  });
});

async function answer({ id, problem }: LameRequest): Promise<LameReply> {
  try {
    return { id, result: await solveLame(problem) };
  } catch (error) {
    const code = error instanceof BallastError ? error.code : 'internal';
    return { id, error: { code, message: messageOf(error) } };
  }
}
