import pino, { type Logger } from 'pino';
import type { ServerConfig } from './config.js';

let standardOutput: ReturnType<typeof pino.destination> | undefined;

/** Lines are handed to the system in the background: a slow reader of the log does not slow requests down. */
function destination(): ReturnType<typeof pino.destination> {
  if (!standardOutput) {
    const output = pino.destination({ fd: 1, sync: false });
    process.once('exit', () => {
      output.flushSync();
    });
    standardOutput = output;
  }
  return standardOutput;
}

/** A logger that writes one JSON object a line to standard output. */
export function createLogger(level: ServerConfig['logLevel']): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination());
}
