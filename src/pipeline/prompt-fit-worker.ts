/**
 * The thread that fits one prompt and ends. See prompt-fit-thread.ts for the other side.
 */
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { BallastError, messageOf } from '../errors.js';
import { lowerThreadPriority } from '../runtime/thread-priority.js';
import { givingWay, RequestCounter } from '../runtime/yielding.js';
import { runPromptFit } from './prompt-fit.js';
import type { FitThreadData, FromFitThread } from './prompt-fit-thread.js';

const port = parentPort!;
const { spec, requests } = workerData as FitThreadData;
const send = (message: FromFitThread): void => {
  port.postMessage(message);
};

const stopping = new AbortController();
port.once('message', () => {
  stopping.abort(new Error('The fit was stopped.'));
});

// A core that requests need is theirs.
lowerThreadPriority(constants.priority.PRIORITY_LOW);

/** Pictures asked about that the other side was not told of yet. */
let asked = 0;
const take = (): number => {
  const pictures = asked;
  asked = 0;
  return pictures;
};
try {
  const state = await runPromptFit(spec, {
    pause: givingWay(new RequestCounter(requests)),
    onProgress: (progress) => {
      send({ kind: 'progress', pictures: take(), progress });
    },
    onQueries: (pictures) => {
      asked += pictures;
    },
    signal: stopping.signal,
  });
  send({ kind: 'done', pictures: take(), state });
} catch (error) {
  const code = error instanceof BallastError ? error.code : 'internal';
  send({ kind: 'failed', pictures: take(), code, message: messageOf(error) });
}
port.close();
