import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { StopSignal } from './stop-signal.js';

/** Bytes of its complaints that are kept. */
const MAX_COMPLAINT = 4_096;

/** What starts an ffmpeg or ffprobe. */
export interface FfmpegStart {
  readonly program: 'ffmpeg' | 'ffprobe';
  readonly args: readonly string[];
  /** Whether it gets a standard input to read from; none when left out. */
  readonly input?: boolean;
  /** Whether it gets file descriptor 3 to write to, beside its standard output; not when left out. */
  readonly sideOutput?: boolean;
  /** Kills it when aborted. */
  readonly signal?: StopSignal | undefined;
  /** Milliseconds after which it is killed; never when left out. */
  readonly timeLimitMs?: number;
}

/**
 * One run of ffmpeg or ffprobe. It gets nothing of this server's environment but where programs and libraries are, and
 * it is killed at its time limit, and when its signal is aborted.
 */
export class FfmpegProcess {
  /** Settles when it is gone and all that it wrote has been read or dropped; never rejects. */
  readonly closed: Promise<void>;
  readonly #child: ChildProcess;
  #complaint = '';
  #failure: Error | 'too slow' | undefined;

  /** @param start - the program, its arguments and what ends it early; an error of starting it becomes `failure` */
  constructor({ program, args, input = false, sideOutput = false, signal, timeLimitMs }: FfmpegStart) {
    const { PATH, LD_LIBRARY_PATH } = process.env;
    this.#child = spawn(program, args, {
      stdio: [input ? 'pipe' : 'ignore', 'pipe', 'pipe', sideOutput ? 'pipe' : 'ignore'],
      env: { PATH, LD_LIBRARY_PATH },
    });
    const kill = (): void => {
      this.kill();
    };
    const timer =
      timeLimitMs === undefined
        ? undefined
        : setTimeout(() => {
            this.kill('too slow');
          }, timeLimitMs);
    if (signal?.aborted === true) kill();
    signal?.addEventListener('abort', kill, { once: true });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-MAX_COMPLAINT);
    });
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', kill);
        resolve();
      };
      this.#child.on('error', (error) => {
        this.#failure ??= error;
        // An error before it runs is the last that is heard of it; what goes wrong later leaves it to be closed.
        if (this.#child.pid === undefined) end();
      });
      this.#child.on('close', end);
    });
  }

  /** Its process id; undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Its standard input; only where `input` was asked for. */
  get stdin(): Writable {
    return this.#child.stdin!;
  }

  /** Its standard output. What is not read holds it up. */
  get stdout(): Readable {
    return this.#child.stdout!;
  }

  /** What it writes to file descriptor 3; only where `sideOutput` was asked for. */
  get sideOutput(): Readable {
    return this.#child.stdio[3] as Readable;
  }

  /** The end of what it wrote to its standard error, 4096 characters at most. */
  get complaint(): string {
    return this.#complaint;
  }

  /** Why it could not be started, or that it was killed for taking too long; undefined where neither happened. */
  get failure(): Error | 'too slow' | undefined {
    return this.#failure;
  }

  /** Kills it at once, whatever it does. @param failure - what `failure` says from now on, where it says nothing yet */
  kill(failure?: 'too slow'): void {
    if (failure !== undefined) this.#failure ??= failure;
    this.#child.kill('SIGKILL');
  }

  /** Kills it, drops what it wrote that nobody has read, and waits until it is gone. */
  async stop(): Promise<void> {
    this.kill();
    for (const stream of this.#child.stdio) stream?.destroy();
    await this.closed;
  }
}

/**
 * The last thing that an ffmpeg said, for a message.
 * @param complaint - what it wrote to its standard error
 * @returns the last line without the name of the part that wrote it, 200 characters at most; undefined where it said
 *   nothing
 */
export function lastComplaint(complaint: string): string | undefined {
  const lines = complaint.split('\n').map((line) => line.replace(/^(\[[^\]]*\]\s*)+/, '').trim());
  return lines
    .filter((line) => line !== '')
    .at(-1)
    ?.slice(0, 200);
}

/**
 * Whether a program could not be started because it is not installed.
 * @param failure - what `FfmpegProcess.failure` says
 */
export function isNotInstalled(failure: Error): boolean {
  return 'code' in failure && failure.code === 'ENOENT';
}
