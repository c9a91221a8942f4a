import type { TensorMap, TensorSpec } from '../runtime/tensor.js';
import type { BatchResult, RequestOptions } from './batch.js';
import type { ModelConfig } from './model-config.js';

/** Encoded files by input name; file i of each input belongs to sample i. */
export type EncodedInputs = Readonly<Partial<Record<string, readonly Uint8Array[]>>>;

/** A model that is loaded, warm and answering. */
export interface ServedModel {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  /** One label a class; made up from the index where model.yaml names none. Empty for `task: raw`. */
  readonly labels: readonly string[];
  /** The ONNX model's own inputs and outputs (batch axis included). */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Where it really runs: cuda, webgpu or cpu. */
  readonly provider: string;

  /**
   * Decodes and answers encoded files.
   * @throws BallastError invalid-input, unsupported-media-type, too-large, impossible, queue-full, deadline-exceeded, unavailable
   */
  predict(files: EncodedInputs, options?: RequestOptions): Promise<BatchResult>;

  /**
   * Answers tensors as the network takes them, by ONNX input name.
   * @throws BallastError as `predict`
   */
  infer(inputs: TensorMap, options?: RequestOptions): Promise<BatchResult>;
}

/** A line of the repository's index. */
export interface ModelStatus {
  readonly name: string;
  readonly version: string;
  readonly state: 'READY' | 'LOADING' | 'UNAVAILABLE';
  /** Why it is not READY: the mistake in its files, "unloaded", … */
  readonly reason: string;
}

/** The models of a repository folder, by name and version. */
export interface Models {
  /**
   * The model that answers now; without a version the highest loaded one.
   * @throws BallastError unknown-model; unavailable where it exists but is not READY
   */
  get(name: string, version?: string): ServedModel;
  /** Every model of the folder, loaded or not. */
  index(): ModelStatus[];
  /** Reads the model's folder again and swaps it in; requests in flight finish on the old one. */
  load(name: string): Promise<void>;
  /** Takes the model out of service once its requests in flight are answered. */
  unload(name: string): Promise<void>;
  /** Samples waiting, by model. */
  queueDepths(): Map<string, number>;
  readonly streams: Streams;
  /** Refuses new requests, answers those in flight, then frees everything. */
  close(): Promise<void>;
}

/** What is kept of one stream, for one model. */
export interface StreamWindow {
  readonly model: string;
  readonly samples: number;
  readonly bytes: number;
  readonly ageSeconds: number;
  readonly idleSeconds: number;
}

export interface Streams {
  /** The stream's windows, one a model that it spoke to; empty where the stream is unknown. */
  describe(id: string): StreamWindow[];
  /** Forgets the stream; false where it was unknown. */
  forget(id: string): boolean;
  /** Windows kept now. */
  readonly size: number;
}
