/**
 * The thread that holds a model: it loads it, warms it, and then runs one batch a message. See
 * inference-workers.ts for the other side.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BallastError, messageOf } from '../errors.js';
import { Ensemble } from './ensemble.js';
import type { FromWorker, ToWorker, WorkerSpec } from './inference-workers.js';
import { countNoisyVotes } from './noisy-votes.js';
import { buffersOf } from './tensor.js';
import { BEHIND_THE_MAIN_THREAD, lowerThreadPriority } from './thread-priority.js';
import { warmUp } from './warm-up.js';

const port = parentPort!;

lowerThreadPriority(BEHIND_THE_MAIN_THREAD);

try {
  const spec = workerData as WorkerSpec;
  const ensemble = await Ensemble.open(spec);
  const warmPass = await warmUp(ensemble, spec.warmUp);
  const { inputs, outputs, provider, failures, winograd } = ensemble;
  port.on('message', (message: ToWorker) => void answer(ensemble, message));
  send({ kind: 'ready', inputs, outputs, provider, failures, winograd, warmPass });
} catch (error) {
  send({
    kind: 'failed',
    code: error instanceof BallastError ? error.code : 'internal',
    message: messageOf(error),
  });
}

async function answer(ensemble: Ensemble, message: ToWorker): Promise<void> {
  const { id } = message;
  try {
    if (message.kind === 'vote') {
      const votes = await countNoisyVotes(ensemble, message.request);
      send({ kind: 'votes', id, votes }, [votes.buffer as ArrayBuffer]);
      return;
    }
    const begin = performance.now();
    const outputs = await ensemble.run(message.inputs, message.fetches);
    const seconds = (performance.now() - begin) / 1000;
    send({ kind: 'answer', id, outputs, seconds }, buffersOf(outputs));
  } catch (error) {
    send({ kind: 'error', id, message: messageOf(error) });
  }
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
