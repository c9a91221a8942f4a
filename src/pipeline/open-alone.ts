import { availableParallelism } from 'node:os';
import { pino } from 'pino';
import type { ProviderChoice } from '../runtime/providers.js';
import { RequestCounter } from '../runtime/yielding.js';
import { UNOBSERVED } from './batch.js';
import { LoadedModel } from './loaded-model.js';
import type { ModelDefinition } from './model-file.js';
import { PromptJobs } from './prompt-jobs.js';
import { StreamStore } from './streams.js';

/**
 * Loads one model outside of a server, for a command: as it is served, but with one worker, no warm-up, nobody who
 * watches and no log.
 * @param remoteHosts - hosts that a remote classifier may be on
 * @throws BallastError as LoadedModel.open
 */
export function openAlone(
  definition: ModelDefinition,
  provider: ProviderChoice,
  remoteHosts: readonly string[],
): Promise<LoadedModel> {
  const log = pino({ level: 'silent' });
  const requests = new RequestCounter();
  return LoadedModel.open(definition, {
    providers: [provider],
    cores: availableParallelism(),
    workers: 1,
    threads: undefined,
    warmUpMs: 0,
    observer: UNOBSERVED,
    log,
    streams: new StreamStore({ maxStreams: 1, maxBytes: 1, maxIdleSeconds: 1 }),
    jobs: new PromptJobs(UNOBSERVED, log, requests),
    requests,
    remoteHosts,
  });
}
