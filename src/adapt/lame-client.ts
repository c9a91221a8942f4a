import { Worker } from 'node:worker_threads';
import { BallastError, messageOf } from '../errors.js';
import { keepFreedMemory } from '../runtime/keep-memory.js';
import type { FixedPoint } from './lame-sessions.js';
import type { LameProblem } from './lame-solver.js';
import type { LameReply, LameRequest } from './lame-worker.js';

interface Call {
  readonly resolve: (result: FixedPoint) => void;
  readonly reject: (error: BallastError) => void;
}

/** The one thread that solves LAME problems, and the calls that it still owes an answer. */
interface Solver {
  readonly worker: Worker;
  readonly calls: Map<number, Call>;
}

let current: Solver | undefined;
let nextId = 0;

/**
 * Solves a problem in the LAME thread, which the first call starts. The thread keeps the process alive only while a
 * call is under way; where it dies, its calls fail and the next call starts another.
 * @param problem - its arrays are transferred: they are empty afterwards
 * @throws BallastError what solveLame throws; internal where the thread died; unavailable after `closeLame`
 */
export function solveInThread(problem: LameProblem): Promise<FixedPoint> {
  const { worker, calls } = (current ??= startSolver());
  const id = nextId++;
  return new Promise((resolve, reject) => {
    calls.set(id, { resolve, reject });
    worker.ref();
    const request: LameRequest = { id, problem };
    const { probabilities, features } = problem;
    worker.postMessage(request, [
      probabilities.data.buffer as ArrayBuffer,
      features.data.buffer as ArrayBuffer,
    ]);
  });
}

/** Ends the LAME thread; calls under way fail. A later call starts a new one. */
export async function closeLame(): Promise<void> {
  const solver = current;
  if (solver === undefined) return;
  current = undefined;
  failAll(solver, new BallastError('unavailable', 'LAME was closed before this batch was adapted.'));
  await solver.worker.terminate();
}

function startSolver(): Solver {
  keepFreedMemory();
  // Flags of this process are not passed on: the thread needs none, and some (--input-type) do not suit a file.
  const options = { name: 'ballast-lame', execArgv: [] };
  const worker = new Worker(new URL('./lame-worker.js', import.meta.url), options);
  const solver: Solver = { worker, calls: new Map() };
  let reason = 'it ended';
  worker.unref();
  worker.on('message', (reply: LameReply) => {
    settle(solver, reply);
  });
  worker.on('error', (error) => {
    reason = messageOf(error);
  });
  // After an error comes an exit: this is where every end of the thread arrives.
  worker.on('exit', () => {
    if (current === solver) current = undefined;
    failAll(solver, new BallastError('internal', `The LAME thread failed: ${reason}.`));
  });
  return solver;
}

function settle({ worker, calls }: Solver, reply: LameReply): void {
  const call = calls.get(reply.id);
  calls.delete(reply.id);
  if (calls.size === 0) worker.unref();
  if ('result' in reply) call?.resolve(reply.result);
  else call?.reject(new BallastError(reply.error.code, reply.error.message));
}

function failAll({ calls }: Solver, error: BallastError): void {
  for (const call of calls.values()) call.reject(error);
  calls.clear();
}
