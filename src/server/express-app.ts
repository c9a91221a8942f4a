import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
import { BallastError } from '../errors.js';
import type { ServerContext } from './context.js';
import { serve } from './exchange.js';
import { MethodNotAllowed } from './problem.js';
import type { Route } from './route.js';

/** The route of requests that none other takes: one label for all of them. */
function failing(error: unknown): Route {
  return {
    method: 'get',
    path: 'unmatched',
    handle: () => {
      throw error;
    },
  };
}

/**
 * The Express app with every route. It can be mounted in another app.
 */
export function expressApp(context: ServerContext, routes: readonly Route[]): Express {
  const app = express();
  app.set('etag', false);
  app.set('query parser', false);
  app.disable('x-powered-by');
  const methods = new Map<string, string[]>();
  for (const route of routes) {
    const path = route.path.replace(/\{(\w+)\}/g, ':$1');
    const allowed = route.method === 'get' ? ['GET', 'HEAD'] : [route.method.toUpperCase()];
    methods.set(path, [...(methods.get(path) ?? []), ...allowed]);
    app[route.method](path, (req, res) =>
      serve(context, route, req, res, req.params as Record<string, string>),
    );
  }
  for (const [path, allowed] of methods) {
    app.all(path, ((req, res) =>
      serve(
        context,
        failing(new MethodNotAllowed(allowed.join(', '))),
        req,
        res,
        {},
      )) satisfies RequestHandler);
  }
  app.use(((req, res) =>
    serve(
      context,
      failing(
        new BallastError('not-found', `There is nothing at ${JSON.stringify(req.path.slice(0, 128))}.`),
      ),
      req,
      res,
      {},
    )) satisfies RequestHandler);
  // Express tells an error handler from others by its four parameters.
  app.use(((error: unknown, req, res, next) => {
    if (res.headersSent) next(error);
    else void serve(context, failing(error), req, res, {});
  }) satisfies ErrorRequestHandler);
  return app;
}
