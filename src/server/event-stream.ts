import { problemOf } from './problem.js';
import type { Exchange } from './route.js';

/** At most one progress event in this many milliseconds. */
const PROGRESS_MS = 100;

/** Whether the client wants to see progress: its Accept names server-sent events. */
export function wantsEvents({ req }: Exchange): boolean {
  return (req.headers.accept ?? '').includes('text/event-stream');
}

/** Begins an answer of server-sent events. */
export function openEvents({ res, requestId }: Exchange): void {
  res.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-request-id': requestId,
  });
  res.flushHeaders();
}

/**
 * Answers with server-sent events: `progress` (`{"done", "total"}`) while the work runs, then `result` with the answer
 * as it would have been the body, or `problem` with what went wrong.
 * @param work - given what it reports progress to; returns JSON
 */
export async function sendEvents(
  exchange: Exchange,
  work: (onProgress: (done: number, total: number) => void) => Promise<string>,
): Promise<void> {
  const { res, requestId } = exchange;
  openEvents(exchange);
  let last = 0;
  const onProgress = (done: number, total: number): void => {
    const now = performance.now();
    if (done < total && now - last < PROGRESS_MS) return;
    last = now;
    res.write(eventText('progress', JSON.stringify({ done, total })));
  };
  try {
    res.end(eventText('result', await work(onProgress)));
  } catch (error) {
    exchange.error = error;
    res.end(eventText('problem', problemOf(error, exchange.path, requestId).body));
  }
}

/** One event, with JSON as its data. */
export function eventText(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`;
}
