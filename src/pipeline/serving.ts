import type { TensorMap, TensorSpec } from '../runtime/tensor.js';
import type { BatchResult, RequestOptions } from './batch.js';
import type { FitPromptOptions } from '../adapt/fit-prompt.js';
import type { VerdictRules } from '../deepfake/verdict.js';
import type { VideoLimits } from '../deepfake/video-limits.js';
import type { JudgeOptions, PicturesJudged, VideoJudged } from './deepfake-result.js';
import type { Job, Jobs } from './jobs.js';
import type { ModelConfig } from './model-config.js';
import type { PromptVersion } from './prompt-versions.js';

/** Encoded files by input name; file i of each input belongs to sample i, and null stands for one that did not arrive. */
export type EncodedInputs = Readonly<Partial<Record<string, readonly (Uint8Array | null)[]>>>;

/** A picture whose class is known. */
export interface LabelledPicture {
  /** Names it in errors. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly label: string;
}

/** The prompts of a model. */
export interface ModelPrompts {
  /** Whether its classifier is remote, so that every picture asked about may cost. */
  readonly isRemote: boolean;
  /** Every version, the oldest first. */
  list(): Promise<PromptVersion[]>;
  /**
   * Makes a version the one that requests get which name none; undefined: none.
   * @throws BallastError not-found, impossible, conflict
   */
  activate(version: string | undefined): Promise<void>;
  /** @throws BallastError not-found, conflict */
  delete(version: string): Promise<void>;
  /**
   * What a version does to a picture: the picture, the change (grey where there is none) and the prompted picture,
   * side by side in a PNG.
   * @throws BallastError as ServedModel.predict; not-found
   */
  preview(picture: Uint8Array, version: string): Promise<Uint8Array>;
  /**
   * Starts a job that fits a new version.
   * @throws BallastError invalid-input, too-large, conflict
   */
  fit(pictures: readonly LabelledPicture[], options: FitPromptOptions): Promise<Job>;
}

/** What a deepfake model says of pictures and videos. */
export interface DeepfakeModel {
  readonly rules: VerdictRules;
  /** @throws BallastError as FaceJudge.judgePictures */
  judgePictures(files: readonly Uint8Array[], options: JudgeOptions): Promise<PicturesJudged>;
  /** @throws BallastError as FaceJudge.judgeVideo */
  judgeVideo(path: string, limits: VideoLimits, options: JudgeOptions): Promise<VideoJudged>;
}

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
  /** Where it really runs: cuda, webgpu, cpu or remote. */
  readonly provider: string;
  /** Undefined where model.yaml has no coordinator. */
  readonly prompts: ModelPrompts | undefined;
  /** Undefined where its task is another. */
  readonly deepfake: DeepfakeModel | undefined;

  /** Keeps the model from being closed, for a request that has chosen it and is still being read. */
  retain(): void;
  /** Ends what one `retain` began. */
  release(): void;

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
  readonly jobs: Jobs;
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
