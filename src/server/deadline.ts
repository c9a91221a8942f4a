import { BallastError } from '../errors.js';
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
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const seconds = context.config.requestTimeout;
  const controller = new AbortController();
  let expire: (error: BallastError) => void;
  const expired = new Promise<never>((_resolve, reject) => {
    expire = reject;
  });
  const timer = setTimeout(() => {
    const error = new BallastError(
      'deadline-exceeded',
      `The request took longer than ${seconds} seconds (--request-timeout).`,
    );
    controller.abort(error);
    expire(error);
  }, seconds * 1000);
  const onClose = (): void => {
    controller.abort(new BallastError('unavailable', 'The client left before its answer.'));
  };
  res.once('close', onClose);
  try {
    return await Promise.race([work(controller.signal), expired]);
  } finally {
    clearTimeout(timer);
    res.off('close', onClose);
  }
}
