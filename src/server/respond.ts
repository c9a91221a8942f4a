import type { Exchange } from './route.js';
import { problemOf } from './problem.js';

/**
 * Sends a whole answer in one write.
 * @param exchange - whose answer it is; nothing is sent where the client has gone or has an answer already
 * @param status - HTTP status
 * @param contentType - media type of the body
 * @param body - text, or bytes
 * @param headers - more headers, in lower case
 */
export function send(
  exchange: Exchange,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers?: Readonly<Record<string, string>>,
): void {
  const { res } = exchange;
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, {
    'content-type': contentType,
    'content-length': typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength,
    'x-request-id': exchange.requestId,
    ...headers,
  });
  res.end(body);
}

/** Sends a small value as JSON. */
export function sendJson(exchange: Exchange, body: unknown, status = 200): void {
  send(exchange, status, 'application/json', JSON.stringify(body));
}

/** Says that it is done, and nothing else. */
export function sendNothing({ res, requestId }: Exchange): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(204, { 'x-request-id': requestId }).end();
}

/** Sends whatever was thrown, in the format of the path. */
export function sendProblem(exchange: Exchange, error: unknown): void {
  exchange.error = error;
  const problem = problemOf(error, exchange.path, exchange.requestId);
  send(exchange, problem.status, problem.contentType, problem.body, problem.headers);
}
