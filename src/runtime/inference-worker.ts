/**
 * The thread that holds a model: it loads it, warms it, and then runs one batch a message. See
 * inference-workers.ts for the other side.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BallastError, messageOf } from '../errors.js';
import type { FromWorker, ToWorker, WorkerSpec } from './inference-workers.js';
import { Session } from './session.js';
import { buffersOf } from './tensor.js';
import { warmUp } from './warm-up.js';

const port = parentPort!;

try {
  const spec = workerData as WorkerSpec;
  const session = await Session.open(spec);
  await warmUp(session, spec.warmUp);
  const { inputs, outputs, provider, failures } = session;
  port.on('message', (message: ToWorker) => void answer(session, message));
  send({ kind: 'ready', inputs, outputs, provider, failures });
} catch (error) {
  send({
    kind: 'failed',
    code: error instanceof BallastError ? error.code : 'internal',
    message: messageOf(error),
  });
}

async function answer(session: Session, { id, inputs, fetches }: ToWorker): Promise<void> {
  try {
    const begin = performance.now();
    const outputs = await session.run(inputs, fetches);
    const seconds = (performance.now() - begin) / 1000;
    send({ kind: 'answer', id, outputs, seconds }, buffersOf(outputs));
  } catch (error) {
    send({ kind: 'error', id, message: messageOf(error) });
  }
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
