import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { Express } from 'express';
import type { Logger } from 'pino';
import type { Models } from '../pipeline/serving.js';
import { BodyBudget } from './body-budget.js';
import { bodyLimit, declaredLength } from './body.js';
import type { ServerConfig } from './config.js';
import type { ServerContext } from './context.js';
import { serve } from './exchange.js';
import { expressApp } from './express-app.js';
import { HotRoutes } from './hot-routes.js';
import { InFlight } from './in-flight.js';
import { close, listen, type Listening } from './lifecycle.js';
import type { Metrics } from './metrics.js';
import { ParsingThread } from './parsing/parsing-thread.js';
import { allRoutes } from './routes/all.js';
import { VideoSlots } from './video-upload.js';

// Proxies keep idle connections for a minute: ours must live longer, or they send requests into closed ones.
const KEEP_ALIVE_MS = 75_000;

/** A server with its models loaded, to start or to embed. */
export interface BallastServer {
  /** The whole API as an Express app, to mount in another one instead of calling `listen`. */
  readonly app: Express;
  readonly models: Models;
  readonly config: ServerConfig;
  readonly logger: Logger;
  /**
   * Begins to take requests.
   * @throws BallastError unavailable where the address is taken or not this machine's
   */
  listen(): Promise<Listening>;
  /**
   * Stops: turns not ready, takes no more connections, answers what is in flight, frees the models.
   * @returns whether everything in flight was answered within `shutdownTimeout`
   */
  close(): Promise<boolean>;
}

/** What a server is built on. */
export interface ServerParts {
  readonly config: ServerConfig;
  readonly models: Models;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Builds a server on models that are open; it closes them when it is closed. */
export function ballastServer(parts: ServerParts): BallastServer {
  const { config, metrics, models } = parts;
  metrics.watch(models);
  const context: ServerContext = {
    ...parts,
    parsing: new ParsingThread(),
    bodies: new BodyBudget(config.maxPendingMb * 1e6, () => {
      metrics.rejected('queue-full');
    }),
    videos: new VideoSlots(config.maxVideos, () => {
      metrics.rejected('queue-full');
    }),
    lifecycle: { draining: false },
    inFlight: new InFlight(),
  };
  const routes = allRoutes(context);
  const app = expressApp(context, routes);
  const server = httpServer(context, new HotRoutes(routes), app as RequestListener);
  let closing: Promise<boolean> | undefined;
  return {
    app,
    models,
    config,
    logger: parts.logger,
    listen: () => listen(server, config),
    close: () => (closing ??= close(server, context)),
  };
}

function httpServer(
  context: ServerContext,
  hotRoutes: HotRoutes,
  app: RequestListener,
): ReturnType<typeof createHttpServer> {
  const listener: RequestListener = (req, res) => {
    const hot = hotRoutes.match(req);
    if (hot) void serve(context, hot.route, req, res, hot.params);
    else app(req, res);
  };
  const server = createHttpServer({ keepAliveTimeout: KEEP_ALIVE_MS }, listener);
  // A client that asks before it sends (curl does above 1 MB) learns that a body is too large before it is sent.
  server.on('checkContinue', (req: IncomingMessage, res) => {
    if ((declaredLength(req) ?? 0) <= bodyLimit(context)) res.writeContinue();
    listener(req, res);
  });
  return server;
}
