import type { Logger } from 'pino';
import { ModelRegistry } from '../pipeline/registry.js';
import { keepFreedMemory } from '../runtime/keep-memory.js';
import { ballastServer, type BallastServer } from './ballast-server.js';
import { configOf, type ServerOptions } from './config.js';
import { availableCores } from './cores.js';
import { createLogger } from './logger.js';
import { Metrics } from './metrics.js';
import { warmParsing } from './parsing/warm-parsing.js';

/**
 * Opens the models of a folder and builds a server on them.
 * @param options - see config.ts; whatever is left out has its default
 * @param logger - takes the place of the log on standard output
 * @throws BallastError invalid-input where an option is wrong or the folder of models cannot be read
 */
export async function createServer(options: ServerOptions = {}, logger?: Logger): Promise<BallastServer> {
  const config = configOf(options);
  keepFreedMemory();
  const log = logger ?? createLogger(config.logLevel);
  const metrics = new Metrics();
  const opening = ModelRegistry.open({
    directory: config.models,
    providers: [config.provider],
    cores: availableCores(),
    workers: config.workers,
    threads: config.threads,
    warmUpMs: config.warmUp && config.warmUp * 1000,
    remoteHosts: config.remoteHosts,
    observer: metrics,
    log,
    streamLimits: {
      maxStreams: config.maxStreams,
      maxBytes: config.maxStreamMb * 1e6,
      maxIdleSeconds: config.maxStreamAge,
    },
  });
  // While the models' own threads load them, this one has nothing else to do.
  warmParsing();
  const models = await opening;
  return ballastServer({ config, models, metrics, logger: log });
}
