import type { Logger } from 'pino';

/** What can be stopped. */
export interface Stoppable {
  readonly logger: Logger;
  close(): Promise<boolean>;
}

/**
 * Stops a server on SIGTERM and SIGINT, then ends the process: 0 where everything in flight was answered, 1 where
 * it was cut off. A second signal ends it at once.
 */
export function stopOnSignals(server: Stoppable): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) {
      server.logger.warn({ signal }, 'a second signal: the process ends at once');
      process.exit(1);
    }
    stopping = true;
    server.logger.info({ signal }, 'shutting down: finishing what is in flight');
    server.close().then(
      (inTime) => {
        server.logger.info(inTime ? 'shut down' : 'shut down; requests were cut off');
        process.exit(inTime ? 0 : 1);
      },
      (error: unknown) => {
        server.logger.error({ err: error }, 'shutting down failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
}
