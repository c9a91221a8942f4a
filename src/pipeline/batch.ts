import type { Matrix, TensorMap } from '../runtime/tensor.js';

/** How one request wants to be served. Whatever is left out is as model.yaml says. */
export interface RequestOptions {
  /** Switches LAME on or off for this request. */
  readonly lame?: boolean;
  /** The stream that these samples continue, in order. LAME then adapts within the stream's window. */
  readonly stream?: string;
  /** Which of the model's own outputs are wanted in `BatchResult.outputs`; none when left out. */
  readonly outputs?: readonly string[];
  /** Aborts what has not started yet (client gone, deadline passed). */
  readonly signal?: AbortSignal;
}

/** What LAME did to a batch. */
export interface LameReport {
  readonly scope: 'request' | 'stream';
  /** How many samples took part: those of the request, and of the stream's window before them. */
  readonly samples: number;
  readonly iterations: number;
  /** How many of the request's samples have another most probable class than before. */
  readonly changed: number;
}

/** Milliseconds that a batch spent in each stage. */
export interface StageTimings {
  decode?: number;
  queue?: number;
  forward?: number;
  lame?: number;
  total: number;
}

/** What the pipeline answers for the `count` samples of one request. */
export interface BatchResult {
  readonly count: number;
  /** Class probabilities `[N, K]` after every stage. Undefined for a model of `task: raw`. */
  readonly probabilities?: Matrix;
  /** Class probabilities `[N, K]` of the wrapped model alone. */
  readonly base?: Matrix;
  /** The model's own outputs, as far as the request asked for them. */
  readonly outputs: TensorMap;
  readonly lame?: LameReport;
  readonly timings: StageTimings;
}

/** Told of what happens in the pipeline, for metrics. Every method must be quick and must not throw. */
export interface PipelineObserver {
  /** A forward pass of `samples` samples, of one or several requests, took `seconds`. */
  forward(model: string, samples: number, seconds: number): void;
  /** A request waited `seconds` in the queue before its forward pass began. */
  queued(model: string, seconds: number): void;
  /** A request was turned away. */
  rejected(reason: 'queue-full' | 'deadline' | 'draining' | 'too-large'): void;
  /** A request's stages ended. */
  answered(model: string, result: BatchResult): void;
}
