import type { Matrix, TensorMap } from '../runtime/tensor.js';
import type { NoisyVotes } from '../robust/randomized-smoothing.js';
import type {
  BatchResult,
  Certificate,
  LameReport,
  ModulationReport,
  PromptReport,
  RequestOptions,
  SmoothingReport,
  StageTimings,
} from './batch.js';
import type { EncodedInputs } from './serving.js';

/** What is known of a batch before its first stage. */
export interface BatchBegin {
  readonly count: number;
  readonly options: RequestOptions;
  readonly files?: EncodedInputs;
  readonly inputs?: TensorMap;
  readonly arrived?: readonly (readonly string[])[];
  /** Answers of the model, for a batch that begins after it. */
  readonly features?: Matrix | undefined;
  readonly base?: Matrix;
  readonly probabilities?: Matrix;
}

/**
 * The samples of one request on their way through the stages; each stage fills in what it makes. A class with every
 * field from the start, since V8 gives an object that grows out of another's spread a layout of its own each time: slow
 * to read, and garbage that lives long.
 */
export class Batch implements BatchResult {
  readonly count: number;
  readonly options: RequestOptions;
  /** Encoded files, for a batch that begins at `decode`. */
  readonly files: EncodedInputs | undefined;
  /** Graph inputs, `count` rows each. */
  inputs: TensorMap;
  /** Of each sample the inputs that arrived; undefined where all must. */
  arrived: readonly (readonly string[])[] | undefined;
  modulation: ModulationReport | undefined;
  /** The model's outputs that the request asked for. */
  outputs: TensorMap = {};
  /** Logits `[N, K]` of the wrapped model. */
  logits: Matrix | undefined;
  /** What the files beside the model answered. */
  answers: TensorMap = {};
  /** Votes under noise, a sample each. */
  votes: readonly NoisyVotes[] | undefined;
  /** Penultimate features `[N, D]`. */
  features: Matrix | undefined;
  /** Probabilities `[N, K]` of the wrapped model alone. */
  base: Matrix | undefined;
  /** Probabilities `[N, K]` after the stages so far. */
  probabilities: Matrix | undefined;
  /** Weight of the robust classifier, `[N]`. */
  alpha: Float32Array | undefined;
  certificates: (Certificate | undefined)[] | undefined;
  prompt: PromptReport | undefined;
  smoothing: SmoothingReport | undefined;
  lame: LameReport | undefined;
  readonly timings: StageTimings = {
    decode: undefined,
    modulate: undefined,
    prompt: undefined,
    certify: undefined,
    queue: undefined,
    forward: undefined,
    smooth: undefined,
    lame: undefined,
    total: 0,
  };

  constructor(begin: BatchBegin) {
    this.count = begin.count;
    this.options = begin.options;
    this.files = begin.files;
    this.inputs = begin.inputs ?? {};
    this.arrived = begin.arrived;
    this.features = begin.features;
    this.base = begin.base;
    this.probabilities = begin.probabilities;
  }
}

/** One step of the pipeline. It knows only the batch. */
export interface Stage {
  readonly name: 'decode' | 'modulate' | 'prompt' | 'certify' | 'forward' | 'smooth' | 'lame';
  /** Whether samples of the batch may influence each other's answers. */
  readonly mixesSamples: boolean;
  run(batch: Batch): Promise<void>;
}

/**
 * Carries a request through the stages, in order.
 * @param batch - before the first stage
 * @param turn - the request's turn in its stream: stages that mix samples wait for it
 * @throws whatever a stage throws, or the reason of `options.signal` between two stages
 */
export async function runStages(
  stages: readonly Stage[],
  batch: Batch,
  turn?: Promise<void>,
): Promise<BatchResult> {
  const start = performance.now();
  for (const stage of stages) {
    if (stage.mixesSamples) await turn;
    batch.options.signal?.throwIfAborted();
    const before = performance.now();
    await stage.run(batch);
    batch.timings[stage.name] ??= performance.now() - before;
  }
  batch.timings.total = performance.now() - start;
  return batch;
}
