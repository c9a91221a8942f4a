import { BallastError } from '../errors.js';
import type { InferenceWorkers } from '../runtime/inference-workers.js';
import type { TensorMap } from '../runtime/tensor.js';
import type { PipelineObserver } from './batch.js';
import type { Batching } from './model-config.js';
import { concatRows, rowsOf, sameSampleShapes } from './rows.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** The tensors of one request, on their way to a forward pass. */
export interface ForwardRequest {
  /** `count` rows of each graph input. The arrays are handed over: their sender must not touch them again. */
  readonly inputs: TensorMap;
  readonly count: number;
  /** Inputs that have no row a sample; only requests with the very same ones are merged. */
  readonly shared?: TensorMap;
  /** Names of the outputs wanted. */
  readonly fetches: readonly string[];
  readonly signal?: StopSignal | undefined;
}

/** The outputs of one request, and how long it waited and ran. */
export interface ForwardAnswer {
  readonly outputs: TensorMap;
  readonly queueMs: number;
  readonly forwardMs: number;
}

/** A place in the queue, taken before the request is decoded. Leave it exactly once. */
export interface Place {
  leave(): void;
}

/** Rows `begin` to `end` of a request: at most one batch of it. */
interface Item {
  readonly request: ForwardRequest;
  readonly begin: number;
  readonly end: number;
  readonly queuedAt: number;
  readonly resolve: (answer: ForwardAnswer) => void;
  readonly reject: (error: Error) => void;
}

// A worker that finishes a batch finds the next one already waiting, so it never idles while the main thread is busy.
const BATCHES_PER_WORKER = 2;

/**
 * Merges the forward passes of different requests. A free worker takes what is queued, up to `maxBatchSize`
 * samples; it waits for more only where `maxQueueDelayMs` says so. Rows never influence each other, so merging is
 * invisible in the answers.
 */
export class Batcher {
  private readonly queue: Item[] = [];
  private queued = 0;
  private admitted = 0;
  private inFlight = 0;
  private rowsInFlight = 0;
  private scheduled = false;
  private timer: NodeJS.Timeout | undefined;
  private secondsPerSample = 0;

  constructor(
    private readonly model: string,
    private readonly workers: Pick<InferenceWorkers, 'run' | 'count'>,
    private readonly limits: Batching,
    private readonly observer: PipelineObserver,
  ) {}

  /** Samples that wait for a forward pass. */
  get depth(): number {
    return this.queued;
  }

  /**
   * Takes a place for `count` samples, from before they are decoded until their forward pass begins. Tried, never
   * awaited: a full queue answers at once. One request alone is always let in, whatever its size.
   * @throws BallastError queue-full
   */
  admit(count: number): Place {
    const { maxQueueSize } = this.limits;
    if (this.admitted > 0 && this.admitted + count > maxQueueSize) {
      this.observer.rejected('queue-full');
      throw new BallastError(
        'queue-full',
        `The queue of model "${this.model}" is full: ${this.admitted} samples wait, ${count} more would pass ${maxQueueSize}.`,
        { retryAfterSeconds: Math.max(1, Math.ceil(this.admitted * this.secondsPerSample)) },
      );
    }
    this.admitted += count;
    let here = true;
    return {
      leave: () => {
        if (here) this.admitted -= count;
        here = false;
      },
    };
  }

  /**
   * Runs a request's rows, merged with what else waits; requests above `maxBatchSize` take several passes.
   * @returns the wanted outputs, `count` rows each
   * @throws BallastError invalid-input where the model refuses the rows, unavailable where its worker died;
   *   the signal's reason where it aborts before the pass began
   */
  async run(request: ForwardRequest): Promise<ForwardAnswer> {
    request.signal?.throwIfAborted();
    const { maxBatchSize } = this.limits;
    if (request.count <= maxBatchSize) return this.enqueue(request, 0, request.count);
    const parts: Promise<ForwardAnswer>[] = [];
    for (let begin = 0; begin < request.count; begin += maxBatchSize) {
      parts.push(this.enqueue(request, begin, Math.min(request.count, begin + maxBatchSize)));
    }
    const answers = await Promise.all(parts);
    return {
      outputs: concatRows(answers.map(({ outputs }) => outputs)),
      queueMs: answers[0].queueMs,
      forwardMs: answers.reduce((sum, { forwardMs }) => sum + forwardMs, 0),
    };
  }

  private enqueue(request: ForwardRequest, begin: number, end: number): Promise<ForwardAnswer> {
    return new Promise((resolve, reject) => {
      const item: Item = { request, begin, end, queuedAt: performance.now(), resolve, reject };
      const wasIdle = this.queue.length === 0 && this.inFlight === 0;
      this.queue.push(item);
      this.queued += end - begin;
      if (wasIdle) this.dispatch(true);
      else this.schedule();
    });
  }

  /** Takes requests out of the queue that were aborted while they waited. */
  private dropAborted(): void {
    for (const item of this.queue.filter(({ request }) => request.signal?.aborted)) {
      this.queue.splice(this.queue.indexOf(item), 1);
      this.queued -= item.end - item.begin;
      item.reject(item.request.signal?.reason as Error);
    }
  }

  /** Dispatches once the requests that arrived in this turn of the event loop are all queued. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.dispatch(false);
    });
  }

  private dispatch(atOnce: boolean): void {
    this.dropAborted();
    while (this.queue.length > 0 && this.isWorthABatch()) {
      const wait = this.queue[0].queuedAt + this.limits.maxQueueDelayMs - performance.now();
      if (!atOnce && wait > 0 && this.queued < this.limits.maxBatchSize) {
        this.timer ??= setTimeout(() => {
          this.timer = undefined;
          this.dispatch(false);
        }, wait);
        return;
      }
      void this.forward(this.take());
    }
  }

  /** An idle worker takes whatever waits; one that is busy gets its next batch once that is a fair share. */
  private isWorthABatch(): boolean {
    const { count } = this.workers;
    if (this.inFlight < count) return true;
    return this.inFlight < count * BATCHES_PER_WORKER && this.queued >= this.fairShare();
  }

  /** The rows of a next batch: all that wait, or what makes the batches of several workers equally large. */
  private fairShare(): number {
    const { count } = this.workers;
    const spread = Math.ceil((this.queued + this.rowsInFlight) / (count * BATCHES_PER_WORKER));
    return Math.min(this.limits.maxBatchSize, count === 1 ? this.queued : spread);
  }

  /** The oldest items that make up a fair share, at least one of them; all of the same shapes. */
  private take(): Item[] {
    const first = this.queue[0];
    const most = this.fairShare();
    const items: Item[] = [];
    let rows = 0;
    for (const item of this.queue) {
      const size = item.end - item.begin;
      if (items.length > 0 && rows + size > most) break;
      if (!canMerge(item.request, first.request)) break;
      items.push(item);
      rows += size;
    }
    this.queue.splice(0, items.length);
    this.queued -= rows;
    return items;
  }

  private async forward(items: readonly Item[]): Promise<void> {
    const begin = performance.now();
    const count = items.reduce((sum, item) => sum + item.end - item.begin, 0);
    this.inFlight++;
    this.rowsInFlight += count;
    try {
      const { outputs, seconds } = await this.workers.run(
        withShared(inputsOf(items), items[0].request),
        fetchesOf(items),
      );
      this.secondsPerSample = 0.8 * this.secondsPerSample + (0.2 * seconds) / count;
      this.observer.forward(this.model, count, seconds);
      this.answer(items, outputs, begin, seconds);
    } catch (error) {
      if (items.length === 1) items[0].reject(error as Error);
      // One request's rows must not fail another's: each goes again, alone.
      else for (const item of items) await this.forward([item]);
    } finally {
      this.inFlight--;
      this.rowsInFlight -= count;
      this.dispatch(false);
    }
  }

  private answer(items: readonly Item[], outputs: TensorMap, begin: number, seconds: number): void {
    let row = 0;
    for (const { request, begin: from, end, queuedAt, resolve } of items) {
      const rows = end - from;
      const wanted = Object.fromEntries(request.fetches.map((name) => [name, outputs[name]]));
      this.observer.queued(this.model, (begin - queuedAt) / 1000);
      resolve({
        outputs: items.length === 1 ? wanted : rowsOf(wanted, row, row + rows),
        queueMs: begin - queuedAt,
        forwardMs: seconds * 1000,
      });
      row += rows;
    }
  }
}

function canMerge(one: ForwardRequest, other: ForwardRequest): boolean {
  const shared = Object.entries(one.shared ?? {});
  return (
    shared.length === Object.keys(other.shared ?? {}).length &&
    shared.every(([name, tensor]) => other.shared?.[name] === tensor) &&
    sameSampleShapes(one.inputs, other.inputs)
  );
}

/** The rows, with copies of what is shared: what goes to a worker moves there, and that is needed again. */
function withShared(rows: TensorMap, { shared }: ForwardRequest): TensorMap {
  if (shared === undefined) return rows;
  const copies = Object.entries(shared).map(([name, tensor]) => [
    name,
    { ...tensor, data: tensor.data.slice() },
  ]);
  return { ...rows, ...(Object.fromEntries(copies) as TensorMap) };
}

function inputsOf(items: readonly Item[]): TensorMap {
  const [{ request, begin, end }] = items as [Item];
  const alone = items.length === 1 && end - begin === request.count;
  // A request that is a batch by itself hands its own memory over, unless others may look at that memory too.
  if (
    alone &&
    Object.values(request.inputs).every(({ data }) => Array.isArray(data) || fillsItsBuffer(data))
  ) {
    return request.inputs;
  }
  return concatRows(items.map((item) => rowsOf(item.request.inputs, item.begin, item.end)));
}

function fillsItsBuffer(data: ArrayBufferView): boolean {
  return data.byteLength === data.buffer.byteLength;
}

function fetchesOf(items: readonly Item[]): string[] {
  return [...new Set(items.flatMap(({ request }) => request.fetches))];
}
