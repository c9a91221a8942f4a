import { Worker } from 'node:worker_threads';
import { BallastError, type ErrorCode } from '../errors.js';
import type { Provider } from './providers.js';
import type { SessionSpec } from './session.js';
import { buffersOf, type TensorMap, type TensorSpec } from './tensor.js';
import type { WarmUp } from './warm-up.js';

/** What an inference worker is started with. */
export interface WorkerSpec extends SessionSpec {
  readonly warmUp: WarmUp;
}

/** A batch on its way to a worker. */
export interface ToWorker {
  readonly id: number;
  readonly inputs: TensorMap;
  readonly fetches: readonly string[];
}

/** What a worker says. */
export type FromWorker =
  | ({ readonly kind: 'ready' } & SessionInfo)
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
  | ({ readonly kind: 'answer'; readonly id: number } & ForwardPass)
  | { readonly kind: 'error'; readonly id: number; readonly message: string };

/** What is known of a model once it is loaded. */
export interface SessionInfo {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: Provider;
  /** Why the providers before it were not taken. */
  readonly failures: readonly string[];
}

/** The result of one run. */
export interface ForwardPass {
  readonly outputs: TensorMap;
  /** Time inside onnxruntime. */
  readonly seconds: number;
}

interface Pending {
  readonly resolve: (pass: ForwardPass) => void;
  readonly reject: (error: BallastError) => void;
}

/**
 * The threads that hold one model. `session.run` holds its thread for the whole inference, so no session lives in
 * the main thread. A worker that dies fails its own batches alone and is replaced.
 */
export class InferenceWorkers {
  private readonly workers: InferenceWorker[] = [];
  private closed = false;

  private constructor(
    private readonly spec: WorkerSpec,
    private readonly onReplaced: (reason: string) => void,
  ) {}

  /**
   * Starts `count` workers and waits until each has its model loaded and warm.
   * @param spec - the model and how it runs
   * @param count - workers to start
   * @param onReplaced - told when a worker died and another took its place
   * @throws BallastError invalid-model or unavailable where the model cannot be loaded
   */
  static async start(
    spec: WorkerSpec,
    count: number,
    onReplaced: (reason: string) => void = () => undefined,
  ): Promise<InferenceWorkers> {
    const pool = new InferenceWorkers(spec, onReplaced);
    try {
      for (let i = 0; i < count; i++) pool.workers.push(await pool.startWorker());
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Inputs, outputs and provider of the model. */
  get info(): SessionInfo {
    return this.workers[0].info;
  }

  get count(): number {
    return this.workers.length;
  }

  /**
   * Runs a batch on the worker with the least to do.
   * @param inputs - by graph input; the memory behind them moves to the worker, so no other tensor may share it
   * @param fetches - names of the outputs wanted
   * @throws BallastError invalid-input with onnxruntime's reason; unavailable where the worker died
   */
  run(inputs: TensorMap, fetches: readonly string[]): Promise<ForwardPass> {
    if (this.closed)
      return Promise.reject(new BallastError('unavailable', 'The model is being taken out of service.'));
    const worker = this.workers.reduce((least, other) => (other.load < least.load ? other : least));
    return worker.run(inputs, fetches);
  }

  /** Ends the threads; batches still running fail. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private async startWorker(): Promise<InferenceWorker> {
    return InferenceWorker.start(this.spec, (dead, reason) => {
      if (this.closed) return;
      this.onReplaced(reason);
      void this.replace(dead);
    });
  }

  private async replace(dead: InferenceWorker): Promise<void> {
    const index = this.workers.indexOf(dead);
    if (index < 0) return;
    try {
      const worker = await this.startWorker();
      if (this.closed) await worker.terminate();
      else this.workers[index] = worker;
    } catch (error) {
      this.onReplaced(`and it cannot be started again: ${String(error)}`);
    }
  }
}

class InferenceWorker {
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private dead: string | undefined;

  private constructor(
    private readonly thread: Worker,
    readonly info: SessionInfo,
  ) {}

  static start(
    spec: WorkerSpec,
    onDeath: (worker: InferenceWorker, reason: string) => void,
  ): Promise<InferenceWorker> {
    const thread = new Worker(new URL('./inference-worker.js', import.meta.url), { workerData: spec });
    return new Promise((resolve, reject) => {
      let worker: InferenceWorker | undefined;
      let reason = 'its thread ended';
      thread.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') resolve((worker = new InferenceWorker(thread, message)));
        else if (message.kind === 'failed') {
          reject(new BallastError(message.code, message.message));
          void thread.terminate();
        } else worker!.settle(message);
      });
      thread.on('error', (error) => (reason = error instanceof Error ? error.message : String(error)));
      thread.on('exit', () => {
        if (worker === undefined) {
          reject(
            new BallastError(
              'internal',
              `The inference worker died while it loaded ${spec.file}: ${reason}.`,
            ),
          );
        } else {
          worker.die(reason);
          onDeath(worker, reason);
        }
      });
    });
  }

  /** Batches that it has not answered yet. */
  get load(): number {
    return this.dead === undefined ? this.pending.size : Number.POSITIVE_INFINITY;
  }

  run(inputs: TensorMap, fetches: readonly string[]): Promise<ForwardPass> {
    if (this.dead !== undefined) return Promise.reject(died(this.dead));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      const message: ToWorker = { id, inputs, fetches };
      this.thread.postMessage(message, buffersOf(inputs));
    });
  }

  settle(message: Extract<FromWorker, { id: number }>): void {
    const pending = this.pending.get(message.id);
    this.pending.delete(message.id);
    if (message.kind === 'answer') pending?.resolve(message);
    else
      pending?.reject(
        new BallastError('invalid-input', `The model cannot run on this input: ${message.message}`),
      );
  }

  die(reason: string): void {
    this.dead = reason;
    for (const { reject } of this.pending.values()) reject(died(reason));
    this.pending.clear();
  }

  async terminate(): Promise<void> {
    await this.thread.terminate();
  }
}

function died(reason: string): BallastError {
  return new BallastError(
    'unavailable',
    `The inference worker died (${reason}) and is being replaced; try again.`,
    {
      retryAfterSeconds: 1,
    },
  );
}
