import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type { Exchange } from './route.js';

/** Status of a request whose client left before its answer, as nginx has it. */
export const CLIENT_GONE = 499;

const ACCEPTED_ID = /^[\w.:/+=-]{1,128}$/;

/** The client's own X-Request-Id where it is fit for a log and a header, or a new one. */
export function requestIdOf(req: IncomingMessage): string {
  const given = req.headers['x-request-id'];
  return typeof given === 'string' && ACCEPTED_ID.test(given) ? given : randomUUID();
}

/**
 * Writes one line for a request that ended: no headers, no body, no query (a query may name a stream).
 * @param quiet - a probe or a scrape: its line is of debug level while all is well
 */
export function logRequest(
  logger: Logger,
  exchange: Exchange,
  status: number,
  milliseconds: number,
  quiet: boolean,
): void {
  const level = status >= 500 ? 'error' : quiet && status < 400 ? 'debug' : 'info';
  if (!logger.isLevelEnabled(level)) return;
  const line: Record<string, unknown> = {
    id: exchange.requestId,
    method: exchange.req.method,
    path: exchange.path.slice(0, 256),
    status,
    ms: Math.round(milliseconds * 100) / 100,
  };
  if (exchange.model !== '') line['model'] = exchange.model;
  // The stack is worth its space only where the fault is the server's.
  if (status >= 500) line['err'] = exchange.error;
  else if (exchange.error instanceof Error) line['error'] = exchange.error.message;
  logger[level](line, 'request');
}
