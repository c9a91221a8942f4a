import { BallastError } from '../errors.js';
import { StopSource, type StopSignal } from '../runtime/stop-signal.js';
import type { ServerContext } from './context.js';
import type { Exchange } from './route.js';

/**
 * Runs a request's work until it ends, the deadline passes or the client leaves.
 * @param work - given a signal that aborts in the last two cases
 * @returns what the work returns
 * @throws BallastError deadline-exceeded, at once, even where the work cannot be stopped; whatever the work throws
 */
export async function withDeadline<T>(
  context: ServerContext,
  { res }: Exchange,
  work: (signal: StopSignal) => Promise<T>,
): Promise<T> {
  const seconds = context.config.requestTimeout;
  const source = new StopSource();
  const onClose = (): void => {
    source.abort(new BallastError('unavailable', 'The client left before its answer.'));
  };
  res.once('close', onClose);
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      timer = setTimeout(() => {
        const error = new BallastError(
          'deadline-exceeded',
          `The request took longer than ${seconds} seconds (--request-timeout).`,
        );
        source.abort(error);
        reject(error);
      }, seconds * 1000);
      work(source).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    res.off('close', onClose);
  }
}
