/** Microseconds that bridge the gap between two layers of a network. */
export const BETWEEN_LAYERS = 20;
/** Microseconds that bridge the gap between two requests of a client that sends one after another. */
export const BETWEEN_REQUESTS = 1000;

/** How a model's workers share the cores. */
export interface ThreadPlan {
  /** Workers that run batches side by side. */
  readonly workers: number;
  /** onnxruntime's threads of each of them. */
  readonly threads: number;
  /** Threads that a batch gets which is alone in the server, on copies of its own; undefined where there are none. */
  readonly alone: number | undefined;
}

/** What a plan is made from. */
export interface PlanInput {
  /** Cores that this process may use. */
  readonly cores: number;
  /** Workers that the user asked for. */
  readonly workers: number | undefined;
  /** Threads a worker that the user asked for. */
  readonly threads: number | undefined;
  /** Bytes of the model's weights, of which every worker has a copy. */
  readonly modelBytes: number;
  /** Whether the model runs on the processor, and not on a GPU. */
  readonly onCpu: boolean;
}

/** A model gets more than one worker only as long as all copies of its weights fit into this many bytes. */
const MOST_BYTES = 256 * 2 ** 20;
/** A worker is a thread with a JavaScript heap of its own; beyond this many, each gets more cores instead. */
const MOST_WORKERS = 8;

/**
 * Shares the cores of a model's workers.
 *
 * One pass on all cores answers a lone batch soonest, but its threads wait for each other at every layer, and for
 * whatever else needs a core. Several passes on a core each wait for nobody, so that they answer more batches a
 * second. A small model on a CPU gets both; a large one, or one on a GPU, a single worker.
 */
export function planThreads({ cores, workers, threads, modelBytes, onCpu }: PlanInput): ThreadPlan {
  const beside = Math.min(cores, MOST_WORKERS);
  // One copy for lone batches, and one for lone samples.
  const fits = modelBytes * (beside + 2) <= MOST_BYTES;
  if (workers !== undefined || threads !== undefined || cores === 1 || !onCpu || !fits) {
    return { workers: workers ?? 1, threads: threads ?? cores, alone: undefined };
  }
  return { workers: beside, threads: Math.floor(cores / beside), alone: cores };
}
