import type { FitProgress, Score } from '../adapt/fit-prompt.js';
import type { ErrorCode } from '../errors.js';

/** Where a job stands. */
export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** What a fit ended with. */
export interface PromptResult {
  /** The prompt's version. */
  readonly prompt: string;
  /** Whether requests get it from now on. */
  readonly active: boolean;
  /** One sentence for people. */
  readonly verdict: string;
  /** On the validation share, without a prompt and with this one. */
  readonly base: Score;
  readonly validation: Score;
}

/** A training job. */
export interface Job {
  readonly id: string;
  readonly kind: 'prompt';
  readonly model: string;
  /** Of the model. */
  readonly version: string;
  readonly state: JobState;
  /** ISO 8601. */
  readonly created: string;
  readonly finished?: string;
  /** Pictures that it learns from and is judged by. */
  readonly pictures: number;
  readonly progress?: FitProgress & { readonly secondsLeft: number };
  readonly result?: PromptResult;
  readonly error?: { readonly code: ErrorCode; readonly detail: string };
}

/** The jobs of a server. */
export interface Jobs {
  /** Every job that is remembered, the latest first. */
  list(): Job[];
  /** @throws BallastError not-found */
  get(id: string): Job;
  /**
   * Ends a job that is queued or running; of one that has ended nothing is left.
   * @throws BallastError not-found
   */
  cancel(id: string): Promise<Job>;
  /**
   * Calls `listener` with the job whenever it changes.
   * @returns ends that
   */
  watch(id: string, listener: (job: Job) => void): () => void;
}

/** Whether nothing more will happen to a job. */
export function hasEnded({ state }: Job): boolean {
  return state !== 'queued' && state !== 'running';
}
