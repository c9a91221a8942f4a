/**
 * What can go wrong with a request or a model. The server maps each code to an HTTP status in one place
 * (src/server/problem.ts); nothing below the server knows about HTTP.
 */
export type ErrorCode =
  | 'invalid-input'
  | 'unknown-model'
  | 'unknown-stream'
  | 'not-found'
  | 'conflict'
  | 'too-large'
  | 'unsupported-media-type'
  | 'impossible'
  | 'queue-full'
  | 'unavailable'
  | 'deadline-exceeded'
  | 'invalid-model'
  | 'internal';

/** An error whose message may be shown to the user: it says what was wrong, where, and what would be right. */
export class BallastError extends Error {
  override readonly name = 'BallastError';

  /**
   * @param code - what kind of error this is
   * @param message - one or two sentences for the user
   * @param options - `cause`: the error underneath; `retryAfterSeconds`: when trying again may succeed
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly options: { cause?: unknown; retryAfterSeconds?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
