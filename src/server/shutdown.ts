import type { Logger } from 'pino';
import { flushLog } from './logger.js';

/** What can be stopped. */
export interface Stoppable {
  readonly logger: Logger;
  close(): Promise<boolean>;
}

/**
 * Stops a server on SIGTERM and SIGINT, then ends the process with 0. A second signal, or requests that outlast the
 * time they have, end it the hard way.
 */
export function stopOnSignals(server: Stoppable): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      server.logger.warn({ signal }, 'a second signal: the process ends at once');
      void endHard();
      return;
    }
    stopping = true;
    server.logger.info({ signal }, 'shutting down: finishing what is in flight');
    void stop(server);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
}

async function stop(server: Stoppable): Promise<void> {
  try {
    if (await server.close()) {
      server.logger.info('shut down');
      await flushLog();
      process.exit(0);
    }
    server.logger.error('shutting down took too long: what was in flight is cut off');
  } catch (error) {
    server.logger.error({ err: error }, 'shutting down failed');
  }
  await endHard();
}

/** onnxruntime aborts, core dump and all, where a process exits in the middle of a forward pass. */
async function endHard(): Promise<void> {
  await flushLog();
  process.kill(process.pid, 'SIGKILL');
}
