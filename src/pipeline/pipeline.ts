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

/** The samples of one request on their way through the stages; each stage fills in what it makes. */
export interface Batch {
  readonly count: number;
  readonly options: RequestOptions;
  /** Encoded files, for a batch that begins at `decode`. */
  readonly files?: EncodedInputs;
  /** Graph inputs, `count` rows each. */
  inputs: TensorMap;
  /** Of each sample the inputs that arrived; undefined where all must. */
  arrived?: readonly (readonly string[])[];
  modulation?: ModulationReport;
  /** The model's outputs that the request asked for. */
  outputs: TensorMap;
  /** Logits `[N, K]` of the wrapped model. */
  logits?: Matrix;
  /** What the files beside the model answered. */
  answers: TensorMap;
  /** Votes under noise, a sample each. */
  votes?: readonly NoisyVotes[];
  /** Penultimate features `[N, D]`. */
  features?: Matrix;
  /** Probabilities `[N, K]` of the wrapped model alone. */
  base?: Matrix;
  /** Probabilities `[N, K]` after the stages so far. */
  probabilities?: Matrix;
  /** Weight of the robust classifier, `[N]`. */
  alpha?: Float32Array;
  certificates?: (Certificate | undefined)[];
  prompt?: PromptReport;
  smoothing?: SmoothingReport;
  lame?: LameReport;
  readonly timings: StageTimings;
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
 * @param begin - what is known of the batch before the first stage
 * @param turn - the request's turn in its stream: stages that mix samples wait for it
 * @throws whatever a stage throws, or the reason of `options.signal` between two stages
 */
export async function runStages(
  stages: readonly Stage[],
  begin: Pick<Batch, 'count' | 'options' | 'files' | 'inputs' | 'arrived'>,
  turn?: Promise<void>,
): Promise<BatchResult> {
  const start = performance.now();
  const batch: Batch = { ...begin, outputs: {}, answers: {}, timings: { total: 0 } };
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
