import { STATUS_CODES } from 'node:http';
import { BallastError, type ErrorCode } from '../errors.js';

/** The one place where the pipeline's error codes become HTTP statuses. */
const statusOfCode: Readonly<Record<ErrorCode, number>> = {
  'invalid-input': 400,
  'unknown-model': 404,
  'unknown-stream': 404,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  'unsupported-media-type': 415,
  impossible: 422,
  'invalid-model': 422,
  'queue-full': 429,
  internal: 500,
  unavailable: 503,
  'deadline-exceeded': 504,
};

/** An error as it goes over the wire. */
export interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string;
  readonly body: string;
}

/** A wrong method for a path that exists; the only error that HTTP knows and the pipeline does not. */
export class MethodNotAllowed extends Error {
  override readonly name = 'MethodNotAllowed';

  /** @param allow - the methods that the path takes, as the Allow header lists them */
  constructor(readonly allow: string) {
    super(`This path takes ${allow}.`);
  }
}

/** What is told of an error that was not meant for the user: nothing but where to look. */
function concealed(requestId: string): BallastError {
  return new BallastError(
    'internal',
    `Something went wrong in the server. Its log has the details under the request id ${requestId}.`,
  );
}

/** Express and Node mark errors of the request itself (a malformed URL, say) with a 4xx status. */
function isRequestError(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const status: unknown = (error as { status?: unknown }).status;
  return typeof status === 'number' && status >= 400 && status < 500;
}

/**
 * Renders anything thrown: RFC 9457 problem details, or `{"error": …}` under /v2 as the Open Inference
 * Protocol has it.
 * @param error - what was thrown; the message of a BallastError is shown, of anything else concealed
 * @param path - the request's path, which decides the format
 * @param requestId - named in the body, so that a user can quote it
 */
export function problemOf(error: unknown, path: string, requestId: string): Problem {
  const headers: Record<string, string> = {};
  let status: number;
  let code: string;
  let detail: string;
  if (error instanceof MethodNotAllowed) {
    headers['allow'] = error.allow;
    [status, code, detail] = [405, 'method-not-allowed', error.message];
  } else {
    const shown =
      error instanceof BallastError
        ? error
        : isRequestError(error)
          ? new BallastError('invalid-input', error.message)
          : concealed(requestId);
    [status, code, detail] = [statusOfCode[shown.code], shown.code, shown.message];
    if (status === 429 || status === 503) {
      headers['retry-after'] = String(Math.max(1, Math.ceil(shown.options.retryAfterSeconds ?? 1)));
    }
  }
  if (path === '/v2' || path.startsWith('/v2/')) {
    return { status, headers, contentType: 'application/json', body: JSON.stringify({ error: detail }) };
  }
  const body = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    code,
    request_id: requestId,
  };
  return { status, headers, contentType: 'application/problem+json', body: JSON.stringify(body) };
}
