import { Worker } from 'node:worker_threads';
import { BallastError, type ErrorCode } from '../../errors.js';
import { parse, type Parsed, type ParsingJob } from './parsing-jobs.js';

// Above these a parse would hold the event loop for more than a few milliseconds.
const INLINE_JSON_BYTES = 256 * 1024;
const INLINE_BINARY_BYTES = 4 * 1024 * 1024;

// After this long without a job the thread ends, and gives back what the last one took.
const IDLE_MS = 10_000;

// What JSON becomes in memory can be many times its size; a body that needs more than this ends its parse alone.
const MAX_HEAP_MB = 1536;

/** What the worker says. */
export type FromParsingWorker =
  | { readonly id: number; readonly parsed: Parsed[ParsingJob['kind']] }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

interface Pending {
  resolve(parsed: Parsed[ParsingJob['kind']]): void;
  reject(error: Error): void;
}

/**
 * Parses bodies: small ones at once, large ones in a thread of their own that starts with the first of them, so
 * that nothing else waits for them. Jobs are parsed in the order in which they come.
 */
export class ParsingThread {
  private current: ParsingWorker | undefined;

  /**
   * Parses a body. A large one is handed over: its sender must not touch it again.
   * @throws BallastError as `parse`; too-large where a body needs more memory than its parse may have
   */
  async run<Job extends ParsingJob>(job: Job): Promise<Parsed[Job['kind']]> {
    const jsonBytes = job.kind === 'infer' ? job.jsonBytes : job.body.byteLength;
    if (jsonBytes <= INLINE_JSON_BYTES && job.body.byteLength <= INLINE_BINARY_BYTES) {
      return parse(job) as Parsed[Job['kind']];
    }
    if (this.current === undefined || this.current.ended) this.current = new ParsingWorker();
    return (await this.current.run(job)) as Parsed[Job['kind']];
  }

  /** Ends the thread; what is being parsed is rejected. */
  async close(): Promise<void> {
    await this.current?.end();
  }
}

class ParsingWorker {
  ended = false;
  private readonly worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private idle: NodeJS.Timeout | undefined;
  private failure = new BallastError('unavailable', 'The server is shutting down.');

  constructor() {
    this.worker = new Worker(new URL('./parsing-worker.js', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
    });
    this.worker.unref();
    this.worker.on('message', (answer: FromParsingWorker) => {
      this.settle(answer);
    });
    this.worker.on('error', (error) => {
      this.ended = true;
      this.failure = new BallastError(
        'unavailable',
        'Another body ended the thread that parses; send it again.',
        {
          cause: error,
        },
      );
      // Jobs are parsed in order: the oldest is the one that the thread died of.
      for (const [id, oldest] of this.pending) {
        oldest.reject(causeOfDeath(error));
        this.pending.delete(id);
        break;
      }
    });
    this.worker.on('exit', () => {
      this.ended = true;
      for (const pending of this.pending.values()) pending.reject(this.failure);
      this.pending.clear();
    });
  }

  run(job: ParsingJob): Promise<Parsed[ParsingJob['kind']]> {
    clearTimeout(this.idle);
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.pending.set(id, { resolve, reject });
      const body = ownMemory(job.body);
      this.worker.postMessage({ id, job: { ...job, body } }, [body.buffer]);
    });
  }

  async end(): Promise<void> {
    this.ended = true;
    clearTimeout(this.idle);
    await this.worker.terminate();
  }

  private settle(answer: FromParsingWorker): void {
    const pending = this.pending.get(answer.id);
    this.pending.delete(answer.id);
    if ('parsed' in answer) pending?.resolve(answer.parsed);
    else pending?.reject(new BallastError(answer.code, answer.message));
    if (this.pending.size === 0) this.idle = setTimeout(() => void this.end(), IDLE_MS).unref();
  }
}

function causeOfDeath(error: unknown): BallastError {
  if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') {
    return new BallastError('internal', 'The thread that parses bodies died.', { cause: error });
  }
  return new BallastError(
    'too-large',
    'The JSON needs too much memory to be read; send tensors as binary data, or files as multipart.',
  );
}

/** The bytes in memory that holds nothing else, so that handing it over takes nothing from others. */
function ownMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const alone = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return alone ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
