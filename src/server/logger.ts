import pino, { type Logger } from 'pino';
import type { ServerConfig } from './config.js';

// A log that nobody reads any more must not keep the process from ending.
const FLUSH_MS = 1000;

let standardOutput: ReturnType<typeof pino.destination> | undefined;

/** Lines are written together when they fill this many bytes, or this many milliseconds after the first. */
const TOGETHER_BYTES = 8192;
const TOGETHER_MS = 100;

/** Lines are handed to the system in the background: a slow reader of the log does not slow requests down. */
function destination(): ReturnType<typeof pino.destination> {
  if (!standardOutput) {
    const output = pino.destination({
      fd: 1,
      sync: false,
      minLength: TOGETHER_BYTES,
      periodicFlush: TOGETHER_MS,
    });
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

/** Waits until what was logged is written: for the end of the process, which would lose it. */
export async function flushLog(): Promise<void> {
  const output = standardOutput;
  if (!output) return;
  await new Promise<void>((resolve) => {
    setTimeout(resolve, FLUSH_MS);
    output.flush(() => {
      resolve();
    });
  });
}
