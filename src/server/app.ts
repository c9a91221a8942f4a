import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { availableParallelism } from 'node:os';
import type { Express } from 'express';
import type { Logger } from 'pino';
import { ModelRegistry } from '../pipeline/registry.js';
import type { Models } from '../pipeline/serving.js';
import { BodyBudget } from './body-budget.js';
import { bodyLimit, declaredLength } from './body.js';
import { configOf, type ServerConfig, type ServerOptions } from './config.js';
import type { ServerContext } from './context.js';
import { serve } from './exchange.js';
import { expressApp } from './express-app.js';
import { HotRoutes } from './hot-routes.js';
import { close, listen, type Listening } from './lifecycle.js';
import { createLogger } from './logger.js';
import { Metrics } from './metrics.js';
import { ParsingThread } from './parsing/parsing-thread.js';
import { allRoutes } from './routes/all.js';

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

/**
 * Opens the models and builds a server on them.
 * @param options - see config.ts; whatever is left out has its default
 * @param logger - takes the place of the log on standard output
 * @throws BallastError invalid-input where an option is wrong or the folder of models cannot be read
 */
export async function createServer(options: ServerOptions = {}, logger?: Logger): Promise<BallastServer> {
  const config = configOf(options);
  const log = logger ?? createLogger(config.logLevel);
  const metrics = new Metrics();
  const models = await ModelRegistry.open({
    directory: config.models,
    providers: [config.provider],
    workers: config.workers,
    threads: config.threads ?? availableParallelism(),
    warmUpMs: config.warmUp * 1000,
    observer: metrics,
    log,
    streamLimits: {
      maxStreams: config.maxStreams,
      maxBytes: config.maxStreamMb * 1e6,
      maxIdleSeconds: config.maxStreamAge,
    },
  });
  metrics.watch(models);
  const context: ServerContext = {
    config,
    models,
    metrics,
    logger: log,
    parsing: new ParsingThread(),
    bodies: new BodyBudget(config.maxPendingMb * 1e6, () => {
      metrics.rejected('queue-full');
    }),
    lifecycle: { draining: false },
    inFlight: new Set(),
  };
  return serverOf(context);
}

function serverOf(context: ServerContext): BallastServer {
  const routes = allRoutes(context);
  const app = expressApp(context, routes);
  const hotRoutes = new HotRoutes(routes);
  const listener: RequestListener = (req, res) => {
    const hot = hotRoutes.match(req);
    if (hot) void serve(context, hot.route, req, res, hot.params);
    else (app as RequestListener)(req, res);
  };
  const server = createHttpServer({ keepAliveTimeout: KEEP_ALIVE_MS }, listener);
  // A client that asks before it sends (curl does above 1 MB) learns that a body is too large before it is sent.
  server.on('checkContinue', (req: IncomingMessage, res) => {
    if ((declaredLength(req) ?? 0) <= bodyLimit(context)) res.writeContinue();
    listener(req, res);
  });
  let closing: Promise<boolean> | undefined;
  return {
    app,
    models: context.models,
    config: context.config,
    logger: context.logger,
    listen: () => listen(server, context.config),
    close: () => (closing ??= close(server, context)),
  };
}
