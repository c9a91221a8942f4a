import { Worker } from 'node:worker_threads';
import type { FitProgress, FitState } from '../adapt/fit-prompt.js';
import { BallastError, type ErrorCode } from '../errors.js';
import type { PromptFitHooks, PromptFitSpec } from './prompt-fit.js';

/** What the thread says; `pictures`: those that the classifier was asked about since it last spoke. */
export type FromFitThread = { readonly pictures: number } & (
  | { readonly kind: 'progress'; readonly progress: FitProgress }
  | { readonly kind: 'done'; readonly state: FitState }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string }
);

/**
 * Fits a prompt in a thread of its own, with sessions of its own and the least priority there is, so that no request
 * waits for it.
 * @throws BallastError as runPromptFit; the signal's reason where it aborts, which ends the thread at once
 */
export function fitInThread(
  spec: PromptFitSpec,
  { onProgress, onQueries, signal }: PromptFitHooks,
): Promise<FitState> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const thread = new Worker(new URL('./prompt-fit-worker.js', import.meta.url), { workerData: spec });
    const abort = (): void => {
      // A process that ends in the middle of a forward pass would be aborted by onnxruntime.
      void thread.terminate().finally(() => {
        reject(signal!.reason as Error);
      });
    };
    signal?.addEventListener('abort', abort, { once: true });
    thread.on('message', (message: FromFitThread) => {
      onQueries?.(message.pictures);
      if (message.kind === 'progress') onProgress?.(message.progress);
      else if (message.kind === 'done') resolve(message.state);
      else reject(new BallastError(message.code, message.message));
    });
    thread.on('error', reject);
    thread.on('exit', () => {
      signal?.removeEventListener('abort', abort);
      if (signal?.aborted) return;
      reject(new BallastError('internal', 'The thread that fitted the prompt ended without a result.'));
    });
  });
}
