import pino, { type Logger } from 'pino';
import type { ServerConfig } from './config.js';

// A log that nobody reads any more must not keep the process from ending.
const FLUSH_MS = 1000;

/** Lines are handed over together: so many, or as many as come within so many milliseconds of the first. */
const TOGETHER_LINES = 256;
const TOGETHER_MS = 100;

/**
 * Collects lines and hands them to the system in the background: a slow reader of the log does not slow requests down.
 * pino's own destination can collect too, but counts the bytes of all that it holds with every line.
 */
class StandardOutput {
  // Without a least length its flush would not wait for what is being written.
  private readonly output = pino.destination({ fd: 1, sync: false, minLength: 1 });
  private lines: string[] = [];
  private timer: NodeJS.Timeout | undefined;

  write(line: string): void {
    this.lines.push(line);
    if (this.lines.length >= TOGETHER_LINES) this.handOver();
    else {
      this.timer ??= setTimeout(() => {
        this.handOver();
      }, TOGETHER_MS).unref();
    }
  }

  /** Writes what was collected before anything else happens. */
  flushSync(): void {
    this.handOver();
    this.output.flushSync();
  }

  /** Calls back once what was collected is written. */
  flush(done: () => void): void {
    this.handOver();
    this.output.flush(done);
  }

  private handOver(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.lines.length === 0) return;
    this.output.write(this.lines.join(''));
    this.lines = [];
  }
}

let standardOutput: StandardOutput | undefined;

function destination(): StandardOutput {
  if (!standardOutput) {
    const output = new StandardOutput();
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
