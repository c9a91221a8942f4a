import { LRUCache } from 'lru-cache';
import type { Matrix } from '../runtime/tensor.js';
import type { Streams, StreamWindow } from './serving.js';

/** What bounds the memory of streams; the least recently used window goes first. */
export interface StreamLimits {
  /** Windows kept. */
  readonly maxStreams: number;
  /** Bytes kept in all windows together. */
  readonly maxBytes: number;
  /** A window that was not used for so many seconds is forgotten. */
  readonly maxIdleSeconds: number;
}

/** The last samples of one stream on one model, oldest first. */
export interface Samples {
  /** `[W, D]` */
  readonly features: Matrix;
  /** `[W, K]`, of the wrapped model alone. */
  readonly probabilities: Matrix;
}

interface Window {
  readonly stream: string;
  readonly model: string;
  readonly createdAt: number;
  usedAt: number;
  samples: Samples | undefined;
}

/** A request's turn in its stream: requests of one stream adapt in the order in which they arrived. */
export interface Turn {
  /** Resolves when the requests before it are through. */
  readonly ready: Promise<void>;
  /** Lets the next request go. Call it exactly once, whatever happened. */
  end(): void;
}

/** The windows of all streams, in memory. */
export class StreamStore implements Streams {
  private readonly windows: LRUCache<string, Window>;
  private readonly turns = new Map<string, Promise<void>>();

  constructor(limits: StreamLimits) {
    this.windows = new LRUCache({
      max: limits.maxStreams,
      maxSize: limits.maxBytes,
      sizeCalculation: (window) => Math.max(1, bytesOf(window)),
      ttl: limits.maxIdleSeconds * 1000,
      updateAgeOnGet: true,
      ttlAutopurge: false,
    });
  }

  get size(): number {
    this.windows.purgeStale();
    return this.windows.size;
  }

  /** Takes the next turn in a stream. */
  turn(stream: string, model: string): Turn {
    const key = keyOf(stream, model);
    const ready = this.turns.get(key) ?? Promise.resolve();
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const tail = ready.then(() => ended);
    this.turns.set(key, tail);
    void tail.then(() => {
      if (this.turns.get(key) === tail) this.turns.delete(key);
    });
    return { ready, end };
  }

  /** The window's samples; undefined for a new stream. */
  read(stream: string, model: string): Samples | undefined {
    return this.windows.get(keyOf(stream, model))?.samples;
  }

  /** Keeps the last `window` rows of `samples` as the stream's window. */
  write(stream: string, model: string, samples: Samples, window: number): void {
    const key = keyOf(stream, model);
    const now = Date.now();
    const kept = {
      features: lastRows(samples.features, window),
      probabilities: lastRows(samples.probabilities, window),
    };
    const createdAt = this.windows.peek(key)?.createdAt ?? now;
    this.windows.set(key, { stream, model, createdAt, usedAt: now, samples: kept });
  }

  /** Forgets every window of a model, whose features mean nothing to another. */
  forgetModel(model: string): void {
    for (const [key, window] of this.windows.entries()) if (window.model === model) this.windows.delete(key);
  }

  describe(stream: string): StreamWindow[] {
    this.windows.purgeStale();
    const now = Date.now();
    return [...this.windows.values()]
      .filter((window) => window.stream === stream)
      .map((window) => ({
        model: window.model,
        samples: window.samples?.features.rows ?? 0,
        bytes: bytesOf(window),
        ageSeconds: (now - window.createdAt) / 1000,
        idleSeconds: (now - window.usedAt) / 1000,
      }));
  }

  forget(stream: string): boolean {
    const keys = [...this.windows.entries()]
      .filter(([, window]) => window.stream === stream)
      .map(([key]) => key);
    for (const key of keys) this.windows.delete(key);
    return keys.length > 0;
  }
}

/** The last `count` rows, in memory of their own; all where there are fewer. */
export function lastRows({ data, rows, cols }: Matrix, count: number): Matrix {
  const kept = Math.min(rows, count);
  return { data: data.slice((rows - kept) * cols), rows: kept, cols };
}

function keyOf(stream: string, model: string): string {
  return `${model}\n${stream}`;
}

function bytesOf({ samples }: Window): number {
  return samples === undefined ? 0 : samples.features.data.byteLength + samples.probabilities.data.byteLength;
}
