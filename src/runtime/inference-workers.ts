import { Worker } from 'node:worker_threads';
import { BallastError, messageOf, type ErrorCode } from '../errors.js';
import type { EnsembleSpec } from './ensemble.js';
import { LonePass } from './lone-pass.js';
import type { VoteRequest } from './noisy-votes.js';
import type { Provider } from './providers.js';
import { FEWEST_SAMPLES, nameOf, refusedInput } from './session.js';
import { StartOrder } from './start-order.js';
import { buffersOf, type TensorMap, type TensorSpec } from './tensor.js';
import { BETWEEN_LAYERS, BETWEEN_REQUESTS, type ThreadPlan } from './thread-plan.js';
import type { WarmPass, WarmUp } from './warm-up.js';

/** The model that workers are started with. */
export interface ModelSpec extends Omit<EnsembleSpec, 'threads' | 'spinMicroseconds'> {
  readonly warmUp: WarmUp;
}

/** What an inference worker is started with. */
export interface WorkerSpec extends EnsembleSpec, ModelSpec {}

/** A batch to run, or a sample to vote on, on its way to a worker. */
export type ToWorker =
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly inputs: TensorMap;
      readonly fetches: readonly string[];
    }
  | { readonly kind: 'vote'; readonly id: number; readonly request: VoteRequest };

/** What a worker says. */
export type FromWorker =
  | ({ readonly kind: 'ready' } & SessionInfo)
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
  | ({ readonly kind: 'answer'; readonly id: number } & ForwardPass)
  | { readonly kind: 'votes'; readonly id: number; readonly votes: Uint32Array }
  | { readonly kind: 'error'; readonly id: number; readonly message: string };

type Reply = Extract<FromWorker, { id: number }>;

/** What is known of a model once it is loaded. */
export interface SessionInfo {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly provider: Provider;
  /** Why the providers before it were not taken. */
  readonly failures: readonly string[];
  /** Whether batches go through Winograd's convolutions. */
  readonly winograd: boolean;
  /** How long one sample takes; undefined where the model could not be warmed. */
  readonly warmPass: WarmPass | undefined;
}

/** The result of one run. */
export interface ForwardPass {
  readonly outputs: TensorMap;
  /** Time inside onnxruntime. */
  readonly seconds: number;
}

interface Pending {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: BallastError) => void;
}

/** Of all models of this process. */
const startOrder = new StartOrder();

/**
 * The threads that hold one model. `session.run` holds its thread for the whole inference, so only what takes no time
 * worth speaking of runs in the main thread: see LonePass. A worker that dies fails its own batches alone and is
 * replaced.
 */
export class InferenceWorkers {
  /** Run batches side by side. */
  private readonly beside: InferenceWorker[] = [];
  /** None, or one, which runs a batch that is alone, on more cores. */
  private readonly alone: InferenceWorker[] = [];
  /** Takes lone samples from it, where they are fast. */
  private lonePass: LonePass | undefined;
  private closed = false;
  /** The worker that starts while others serve. */
  private starting: Promise<void> | undefined;
  private othersStarted = Promise.resolve();
  /** Of workers that are faster with batches, until such are started. */
  private fasterSpec: WorkerSpec | undefined;

  private constructor(
    /** Workers that run batches side by side, once all have started. */
    readonly count: number,
    private readonly onWorkerLost: (reason: string) => void,
  ) {}

  /**
   * Starts the workers, and waits until one has its model loaded and warm: it serves while the others start.
   * @param model - the model and how it runs
   * @param plan - how many workers, and their threads
   * @param onWorkerLost - told, in a sentence, when a worker died and is being replaced, or cannot be started
   * @throws BallastError invalid-model or unavailable where the model cannot be loaded
   */
  static async start(
    model: ModelSpec,
    plan: ThreadPlan,
    onWorkerLost: (reason: string) => void = () => undefined,
  ): Promise<InferenceWorkers> {
    const pool = new InferenceWorkers(plan.workers, onWorkerLost);
    // Only where batches come that gain by it is a second network worth its memory: see startFaster.
    const plain = { ...model, winograd: false };
    const spec = { ...plain, threads: plan.threads, spinMicroseconds: BETWEEN_LAYERS };
    const aloneSpec = { ...plain, threads: plan.alone ?? 0, spinMicroseconds: BETWEEN_REQUESTS };
    try {
      await startOrder.first(async () => {
        if (plan.alone === undefined) return pool.startWorker(spec, pool.beside, 0);
        await pool.startWorker(aloneSpec, pool.alone, 0);
        pool.lonePass = await LonePass.open(aloneSpec, model.warmUp, pool.alone[0].info.warmPass);
      });
    } catch (error) {
      await pool.close();
      throw error;
    }
    pool.othersStarted = pool.startOthers(spec);
    if (plan.alone !== undefined && model.winograd === true) pool.fasterSpec = { ...spec, winograd: true };
    return pool;
  }

  /** Inputs, outputs and provider of the model. */
  get info(): SessionInfo {
    return (this.alone[0] ?? this.beside[0]).info;
  }

  /** Resolves when every worker has started, or could not. */
  get complete(): Promise<void> {
    return this.othersStarted;
  }

  /**
   * Runs a batch: where no other is running, a short one in this thread, any other on the worker for lone batches; or
   * else on the worker with the least to do.
   * @param inputs - by graph input; the memory behind them moves to the worker, so no other tensor may share it
   * @param fetches - names of the outputs wanted
   * @throws BallastError invalid-input with onnxruntime's reason; unavailable where the worker died
   */
  run(inputs: TensorMap, fetches: readonly string[]): Promise<ForwardPass> {
    if (this.closed) return Promise.reject(beingClosed());
    const isAlone = this.beside.every(({ load }) => load === 0) && this.alone[0]?.load === 0;
    if (this.lonePass?.takes(inputs, isAlone)) return this.lonePass.run(inputs, fetches);
    if (!isAlone) this.startFaster(inputs);
    return (isAlone ? this.alone[0] : this.leastBusy()).run(inputs, fetches);
  }

  /**
   * Counts votes under noise, on the worker with the least to do. Its sample is copied.
   * @throws BallastError as `run`
   */
  vote(request: VoteRequest): Promise<Uint32Array> {
    if (this.closed) return Promise.reject(beingClosed());
    return this.leastBusy().vote(request);
  }

  /** Ends the threads; batches still running fail. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.beside, ...this.alone].map((worker) => worker.terminate()));
    await this.lonePass?.close();
    await this.starting?.catch(() => undefined);
  }

  private leastBusy(): InferenceWorker {
    const started = this.beside.length > 0 ? this.beside : this.alone;
    return started.reduce((one, other) => (other.load < one.load ? other : one));
  }

  private async startOthers(spec: WorkerSpec): Promise<void> {
    try {
      for (let place = this.beside.length; place < this.count; place++) {
        await startOrder.other(async () => {
          if (!this.closed) await (this.starting = this.startWorker(spec, this.beside, place));
        });
      }
    } catch (error) {
      this.cannotStart(error);
    }
  }

  /**
   * With the first larger batch beside another, replaces the workers one by one by such that take batches through
   * Winograd's convolutions. The first tells whether there is anything to gain.
   */
  private startFaster(inputs: TensorMap): void {
    const spec = this.fasterSpec;
    if (spec === undefined || !(Object.values(inputs)[0]?.dims[0] >= FEWEST_SAMPLES)) return;
    this.fasterSpec = undefined;
    const replace = async (): Promise<void> => {
      for (let place = 0; place < this.count && (place === 0 || this.beside[0].info.winograd); place++) {
        await startOrder.other(async () => {
          if (this.closed) return;
          const slower = this.beside.at(place);
          await (this.starting = this.startWorker(spec, this.beside, place));
          await slower?.retire();
        });
      }
    };
    this.othersStarted = this.othersStarted.then(replace).catch((error: unknown) => {
      this.cannotStart(error);
    });
  }

  /** Starts the worker of a place, and another whenever it dies. */
  private async startWorker(spec: WorkerSpec, places: InferenceWorker[], place: number): Promise<void> {
    const before = places.at(place);
    const worker = await InferenceWorker.start(spec, (reason) => {
      if (this.closed) return;
      this.onWorkerLost(`It died (${reason}) and is being replaced.`);
      this.startWorker(spec, places, place).catch((error: unknown) => {
        this.cannotStart(error);
      });
    });
    if (this.closed) await worker.terminate();
    else if (places.at(place) === before) places[place] = worker;
    // Another has taken the place meanwhile.
    else await worker.retire();
  }

  private cannotStart(error: unknown): void {
    if (!this.closed) this.onWorkerLost(`It cannot be started: ${messageOf(error)}`);
  }
}

class InferenceWorker {
  private readonly pending = new Map<number, Pending>();
  private nextId = 0;
  private dead: string | undefined;
  /** Called when the last batch of a worker that gets no more is answered. */
  private onIdle: (() => void) | undefined;

  private constructor(
    private readonly thread: Worker,
    readonly info: SessionInfo,
  ) {}

  static start(spec: WorkerSpec, onDeath: (reason: string) => void): Promise<InferenceWorker> {
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
              `The inference worker died while it loaded ${nameOf(spec.file)}: ${reason}.`,
            ),
          );
        } else {
          worker.die(reason);
          if (worker.onIdle === undefined) onDeath(reason);
        }
      });
    });
  }

  /** Batches that it has not answered yet. */
  get load(): number {
    return this.dead === undefined ? this.pending.size : Number.POSITIVE_INFINITY;
  }

  async run(inputs: TensorMap, fetches: readonly string[]): Promise<ForwardPass> {
    const reply = await this.ask((id) => ({ kind: 'run', id, inputs, fetches }), buffersOf(inputs));
    return reply as Extract<Reply, { kind: 'answer' }>;
  }

  async vote(request: VoteRequest): Promise<Uint32Array> {
    const reply = await this.ask((id) => ({ kind: 'vote', id, request }), []);
    return (reply as Extract<Reply, { kind: 'votes' }>).votes;
  }

  settle(message: Reply): void {
    const pending = this.pending.get(message.id);
    this.pending.delete(message.id);
    if (message.kind === 'error') {
      pending?.reject(refusedInput(message.message));
    } else pending?.resolve(message);
    if (this.pending.size === 0) this.onIdle?.();
  }

  private ask(message: (id: number) => ToWorker, transfer: ArrayBuffer[]): Promise<Reply> {
    if (this.dead !== undefined) return Promise.reject(died(this.dead));
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.thread.postMessage(message(id), transfer);
    });
  }

  die(reason: string): void {
    this.dead = reason;
    for (const { reject } of this.pending.values()) reject(died(reason));
    this.pending.clear();
    this.onIdle?.();
  }

  /** Ends the thread once it has answered what it was given; nobody may give it more. */
  async retire(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onIdle = resolve;
      if (this.pending.size === 0) resolve();
    });
    await this.terminate();
  }

  async terminate(): Promise<void> {
    await this.thread.terminate();
  }
}

function beingClosed(): BallastError {
  return new BallastError('unavailable', 'The model is being taken out of service.');
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
