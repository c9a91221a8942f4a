import type { IncomingMessage, ServerResponse } from 'node:http';
import { BallastError } from '../errors.js';
import type { ServerContext } from './context.js';
import { CLIENT_GONE, logRequest, requestIdOf } from './request-log.js';
import { sendProblem } from './respond.js';
import type { Exchange, Route } from './route.js';

/** A client that was answered early may go on sending this long; then its connection is cut. */
const LINGER_MS = 10_000;

/**
 * Answers one request: runs the route's handler, turns what it throws into an answer, and counts and logs the
 * request when it has ended. Needs nothing of Express.
 * @param params - the path's parameters, decoded
 */
export async function serve(
  context: ServerContext,
  route: Route,
  req: IncomingMessage,
  res: ServerResponse,
  params: Readonly<Record<string, string>>,
): Promise<void> {
  const exchange = begin(context, route, req, res, params);
  try {
    await route.handle(exchange);
  } catch (error) {
    if (error instanceof BallastError) {
      // Whatever else is turned away is counted where it happens, models' queues among them.
      if (error.code === 'too-large') context.metrics.rejected('too-large');
      if (error.code === 'deadline-exceeded') context.metrics.rejected('deadline');
    }
    sendProblem(exchange, error);
  } finally {
    exchange.chosen?.release();
  }
}

function begin(
  context: ServerContext,
  route: Route,
  req: IncomingMessage,
  res: ServerResponse,
  params: Readonly<Record<string, string>>,
): Exchange {
  const start = performance.now();
  const url = req.url ?? '/';
  const mark = url.indexOf('?');
  const exchange: Exchange = {
    req,
    res,
    path: mark < 0 ? url : url.slice(0, mark),
    params,
    search: mark < 0 ? '' : url.slice(mark + 1),
    requestId: requestIdOf(req),
    route: route.path,
    model: '',
    chosen: undefined,
    heldBytes: 0,
    place: -1,
    error: undefined,
  };
  context.inFlight.add(exchange);
  if (context.lifecycle.draining) res.shouldKeepAlive = false;
  res.once('close', () => {
    context.inFlight.remove(exchange);
    const milliseconds = performance.now() - start;
    const status = res.writableFinished ? res.statusCode : CLIENT_GONE;
    context.bodies.release(exchange);
    context.metrics.request(exchange.model, route.path, status, milliseconds / 1000);
    logRequest(context.logger, exchange, status, milliseconds, route.quiet === true);
    if (!req.complete) drain(req);
  });
  return exchange;
}

/** Reads and forgets the rest of a request that was answered early; closing at once could lose the answer. */
function drain(req: IncomingMessage): void {
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS).unref();
  req.once('close', () => {
    clearTimeout(timer);
  });
  req.resume();
}
