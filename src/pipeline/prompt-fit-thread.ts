import { Worker } from 'node:worker_threads';
import type { FitProgress, FitState } from '../adapt/fit-prompt.js';
import { BallastError, type ErrorCode } from '../errors.js';
import type { RequestCounter } from '../runtime/yielding.js';
import type { PromptFitHooks, PromptFitSpec } from './prompt-fit.js';

/** What the thread is started with. */
export interface FitThreadData {
  readonly spec: PromptFitSpec;
  /** Memory of the counter of requests. */
  readonly requests: SharedArrayBuffer;
}

/** What the thread says; `pictures`: those that the classifier was asked about since it last spoke. */
export type FromFitThread = { readonly pictures: number } & (
  | { readonly kind: 'progress'; readonly progress: FitProgress }
  | { readonly kind: 'done'; readonly state: FitState }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
);

/**
 * Fits a prompt in a thread of its own, with sessions of its own and the least priority there is, so that no request
 * waits for it.
 * @param requests - that it gives way to
 * @throws BallastError as runPromptFit; the signal's reason where it aborts, once the thread has ended: after the
 *   forward pass that it is in
 */
export function fitInThread(
  spec: PromptFitSpec,
  requests: RequestCounter,
  { onProgress, onQueries, signal }: PromptFitHooks,
): Promise<FitState> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const workerData: FitThreadData = { spec, requests: requests.memory };
    const thread = new Worker(new URL('./prompt-fit-worker.js', import.meta.url), { workerData });
    // Asked, not terminated: onnxruntime aborts the process where its thread ends in the middle of a forward pass.
    const stop = (): void => {
      thread.postMessage('stop');
    };
    signal?.addEventListener('abort', stop, { once: true });
    thread.on('message', (message: FromFitThread) => {
      onQueries?.(message.pictures);
      if (message.kind === 'progress') onProgress?.(message.progress);
      else if (message.kind === 'done') resolve(message.state);
      else if (!signal?.aborted) reject(new BallastError(message.code, message.message));
    });
    thread.on('error', reject);
    thread.on('exit', () => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) reject(signal.reason as Error);
      reject(new BallastError('internal', 'The thread that fitted the prompt ended without a result.'));
    });
  });
}
