import type { WindowDecision } from '../adapt/auto-window.js';
import type { Matrix, TensorMap } from '../runtime/tensor.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** How one request wants to be served. Whatever is left out is as model.yaml says. */
export interface RequestOptions {
  /** Switches LAME on or off for this request. */
  readonly lame?: boolean | undefined;
  /** Whether the standard classifier alone answers (false), or its mixture with the robust one. */
  readonly smoothing?: boolean | undefined;
  /** Weight of the robust classifier in [0, 1], for every sample of this request. */
  readonly alpha?: number | undefined;
  /** Whether certificates are wanted, even where they cost many forward passes. */
  readonly certify?: boolean | undefined;
  /** The prompt's version for this request, or `off`; the active one where left out. */
  readonly prompt?: string | undefined;
  /** Told how many of the passes for certificates are done. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** The stream that these samples continue, in order. LAME then adapts within the stream's window. */
  readonly stream?: string | undefined;
  /** Which of the model's own outputs are wanted in `BatchResult.outputs`; none when left out. */
  readonly outputs?: readonly string[] | undefined;
  /** Aborts what has not started yet (client gone, deadline passed). */
  readonly signal?: StopSignal | undefined;
}

/** What LAME did to a batch. */
export interface LameReport {
  readonly scope: 'request' | 'stream';
  /** How many samples took part: those of the request, and of the stream's window before them. */
  readonly samples: number;
  readonly iterations: number;
  /** How many of the request's samples have another most probable class than before. */
  readonly changed: number;
  /** With `window: auto`: samples that one was adapted with, itself counted, on average; and why. */
  readonly window?: number;
  readonly decision?: WindowDecision;
}

/** What two classifiers' mixture did to a batch. */
export interface SmoothingReport {
  readonly mode: 'fixed' | 'mixing-network' | 'nonlinear';
  /** The least and the greatest weight of the robust classifier among the samples. */
  readonly alpha: readonly [number, number];
}

/** What was missing in a batch, and what was done about it. */
export interface ModulationReport {
  /** Of each sample the inputs that did not arrive. */
  readonly missing: readonly (readonly string[])[];
  /** Of each sample the inputs that arrived, separated by commas, where something is missing and no set is for that. */
  readonly unset: readonly (string | undefined)[];
}

/** The prompt that a batch's pictures got. */
export interface PromptReport {
  readonly version: string;
}

/** A distance within which no change of the input changes the class of the mixed classifier. */
export interface Certificate {
  /** Of pixels in [0, 1]; 0 where nothing could be shown. */
  readonly radius: number;
  readonly norm: 'l2' | 'linf';
  /** How sure it is, where it comes from samples. */
  readonly confidence?: number;
  readonly samples?: number;
}

/** What a batch spends time on, in order. */
export const TIMED = [
  'decode',
  'modulate',
  'prompt',
  'certify',
  'queue',
  'forward',
  'smooth',
  'lame',
] as const;

/** Milliseconds that a batch spent on each, as far as it came there, and in all. */
export type StageTimings = { [Part in (typeof TIMED)[number]]?: number | undefined } & { total: number };

/** What the pipeline answers for the `count` samples of one request. */
export interface BatchResult {
  readonly count: number;
  /** Class probabilities `[N, K]` after every stage. Undefined for a model of `task: raw`. */
  readonly probabilities?: Matrix | undefined;
  /** Class probabilities `[N, K]` of the wrapped model alone. */
  readonly base?: Matrix | undefined;
  /** Penultimate features `[N, D]` of the wrapped model, where LAME or the watch for drift read them. */
  readonly features?: Matrix | undefined;
  /** The model's own outputs, as far as the request asked for them. */
  readonly outputs: TensorMap;
  /** Weight of the robust classifier, `[N]`; undefined where nothing was mixed. */
  readonly alpha?: Float32Array | undefined;
  /** One a sample; undefined for a sample whose class LAME changed, since its answer depends on others. */
  readonly certificates?: readonly (Certificate | undefined)[] | undefined;
  readonly modulation?: ModulationReport | undefined;
  readonly prompt?: PromptReport | undefined;
  readonly smoothing?: SmoothingReport | undefined;
  readonly lame?: LameReport | undefined;
  readonly timings: StageTimings;
}

/** What a model's recent traffic is like. */
export interface TrafficReading {
  /** How diverse the predicted classes are, in (0, 1]: see ClassDiversity. */
  readonly diversity: number | undefined;
  /** Drift of the features over its threshold: see DriftWindow. */
  readonly drift: number | undefined;
}

/** Where the latest reading of a model's traffic is to be had. */
export interface TrafficSource {
  readonly name: string;
  readonly version: string;
  read(): TrafficReading;
}

/** Tells nobody. */
export const UNOBSERVED: PipelineObserver = {
  forward: () => undefined,
  queued: () => undefined,
  rejected: () => undefined,
  answered: () => undefined,
  promptQueries: () => undefined,
};

/** Told of what happens in the pipeline, for metrics. Every method must be quick and must not throw. */
export interface PipelineObserver {
  /** A forward pass of `samples` samples, of one or several requests, took `seconds`. */
  forward(model: string, samples: number, seconds: number): void;
  /** A request waited `seconds` in the queue before its forward pass began. */
  queued(model: string, seconds: number): void;
  /** A request was turned away. */
  rejected(reason: 'queue-full' | 'deadline' | 'draining' | 'too-large'): void;
  /** A classifier was asked about pictures: to fit a prompt, or, where it is remote, to serve. */
  promptQueries(model: string, purpose: 'fit' | 'serve', pictures: number): void;
  /** A request's stages ended. */
  answered(model: string, result: BatchResult): void;
  /** A model's traffic can be read off `source` until what comes back is called. Left out: nobody wants to know. */
  watchTraffic?(source: TrafficSource): () => void;
}
