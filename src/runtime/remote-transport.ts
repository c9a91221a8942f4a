import { setTimeout as pause } from 'node:timers/promises';
import pRetry from 'p-retry';
import { BallastError, messageOf, type ErrorCode } from '../errors.js';
import type { OipRequest } from './oip-client.js';
import type { RemoteSpec } from './remote-classifier.js';

/** A call for metadata, or with a request for inference on so many samples. */
export interface Call {
  readonly url: URL;
  readonly request?: OipRequest;
  readonly samples?: number;
}

/** What came back. */
export interface Answer {
  readonly body: Uint8Array;
  readonly headers: Headers;
}

const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_ERROR_TEXT = 300;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;
const LONGEST_RETRY_AFTER_MS = 30_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const RETRIED = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A try that failed and may succeed when it is made again. */
class FailedTry extends Error {
  constructor(
    readonly error: BallastError,
    readonly retryAfterSeconds = 0,
  ) {
    super(error.message, { cause: error });
  }
}

/** The HTTP to one remote: tries, their deadlines, the waits between them, and what goes wrong in words. */
export class RemoteTransport {
  constructor(
    private readonly spec: RemoteSpec,
    private readonly headers: Headers,
    private readonly onQueries: (samples: number) => void,
  ) {}

  /**
   * Makes a call, again where it fails and may succeed.
   * @throws BallastError as RemoteClassifier does
   */
  async send(call: Call, signal: AbortSignal): Promise<Answer> {
    try {
      return await pRetry(() => this.tryOnce(call, signal), {
        retries: this.spec.retries,
        // The waits are our own: full jitter, and what Retry-After says.
        minTimeout: 0,
        signal,
        shouldRetry: ({ error }) => error instanceof FailedTry,
        onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
          if (!(error instanceof FailedTry) || retriesLeft === 0) return;
          await pause(delayMs(attemptNumber, error.retryAfterSeconds), undefined, { signal });
        },
      });
    } catch (error) {
      throw error instanceof FailedTry ? error.error : error;
    }
  }

  /** @throws FailedTry where another may succeed, BallastError where none will */
  private async tryOnce(call: Call, signal: AbortSignal): Promise<Answer> {
    const { url, request, samples } = call;
    const headers = new Headers(this.headers);
    for (const [name, value] of Object.entries(request?.headers ?? {})) headers.set(name, value);
    const init = request ? { method: 'POST', headers, body: request.body } : { headers };
    if (samples !== undefined) this.onQueries(samples);
    const controller = new AbortController();
    const abort = (): void => {
      controller.abort(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    const timer = setTimeout(abort, Math.min(this.spec.timeoutSeconds * 1000, LONGEST_TIMER_MS));
    try {
      const response = await fetch(url, { ...init, redirect: 'error', signal: controller.signal });
      if (response.ok) return { body: await readAll(response, url.host), headers: response.headers };
      throw await this.failureOf(response, call);
    } catch (error) {
      if (error instanceof BallastError || error instanceof FailedTry) throw error;
      signal.throwIfAborted();
      if (controller.signal.aborted) throw timedOut(url.host, this.spec.timeoutSeconds, error);
      throw unreachable(call, error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  private async failureOf(response: Response, call: Call): Promise<BallastError | FailedTry> {
    const { url } = call;
    const { status } = response;
    const who = `The remote classifier at ${url.host}`;
    if (RETRIED.has(status)) {
      void response.body?.cancel().catch(() => undefined);
      const retryAfterSeconds = retryAfterOf(response.headers);
      const error = new BallastError(
        'unavailable',
        `${who} answers with HTTP status ${status}${status === 429 ? ', too many requests' : ''}; try again later.`,
        { retryAfterSeconds: Math.max(1, retryAfterSeconds) },
      );
      return new FailedTry(error, retryAfterSeconds);
    }
    const said = this.withoutSecrets(await errorText(response).catch(() => ''));
    const reason = said === '' ? '' : `: ${said}`;
    if (status === 401 || status === 403) {
      return new BallastError(
        'unavailable',
        `${who} refuses the credentials (HTTP status ${status}); set them in classifier.headers.`,
      );
    }
    if (status === 404) {
      return new BallastError(whereWrong(call), `${who} has no model at ${url.pathname}${reason}`);
    }
    const isRefusal = status >= 400 && status < 500;
    const code = !isRefusal ? 'unavailable' : call.request ? 'invalid-input' : 'invalid-model';
    return new BallastError(code, `${who} refuses the request with HTTP status ${status}${reason}`);
  }

  /** A remote may repeat what it was sent; credentials of ours are not for the clients. */
  private withoutSecrets(text: string): string {
    const secrets = [...this.headers.values()].flatMap((value) => value.split(/[\s,;=]+/));
    const told = secrets
      .filter((secret) => secret.length >= 6)
      .reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
    return told.length > MAX_ERROR_TEXT ? `${told.slice(0, MAX_ERROR_TEXT)}…` : told;
  }
}

/** Milliseconds until the next try. */
function delayMs(attempt: number, retryAfterSeconds: number): number {
  const backoff = Math.random() * Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS);
  return Math.max(backoff, Math.min(retryAfterSeconds * 1000, LONGEST_RETRY_AFTER_MS));
}

function retryAfterOf(headers: Headers): number {
  const text = headers.get('retry-after')?.trim() ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) : 0;
}

/** @throws BallastError unavailable where the answer is too long */
async function readAll(response: Response, host: string): Promise<Uint8Array> {
  if (Number(response.headers.get('content-length')) <= MAX_ANSWER_BYTES) {
    const { bytes, whole } = await readUpTo(response, MAX_ANSWER_BYTES);
    if (whole) return bytes;
  } else void response.body?.cancel().catch(() => undefined);
  throw new BallastError(
    'unavailable',
    `The remote classifier at ${host} answers with more than ${MAX_ANSWER_BYTES / 1024 / 1024} MB, which is refused.`,
  );
}

/** Reads a body, and drops the connection where it is longer than `limit` bytes. */
async function readUpTo(response: Response, limit: number): Promise<{ bytes: Buffer; whole: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    const bytes = chunk as Uint8Array;
    length += bytes.byteLength;
    // Leaving the loop cancels the body.
    if (length > limit) return { bytes: Buffer.concat(chunks), whole: false };
    chunks.push(bytes);
  }
  return { bytes: Buffer.concat(chunks), whole: true };
}

/** What an answer with an error says, in one line; the protocol has it as `error`. */
async function errorText(response: Response): Promise<string> {
  const text = (await readUpTo(response, MAX_ERROR_BYTES)).bytes.toString('utf8');
  let said = text;
  try {
    const parsed: unknown = JSON.parse(text);
    if (
      typeof parsed === 'object' &&
      parsed !== null &&
      'error' in parsed &&
      typeof parsed.error === 'string'
    ) {
      said = parsed.error;
    }
  } catch {
    // Some proxies answer with HTML.
  }
  return said.replace(/[\s\p{Cc}]+/gu, ' ').trim();
}

function unreachable(call: Call, error: unknown): BallastError | FailedTry {
  const { host } = call.url;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const why =
    messageOf(cause) || (cause instanceof Error && 'code' in cause ? String(cause.code) : 'no reason');
  if (why === 'unexpected redirect') {
    return new BallastError(
      whereWrong(call),
      `The remote classifier at ${host} redirects elsewhere, which is not followed; give its final address, on a host that --remote-hosts allows.`,
    );
  }
  const message = `The remote classifier at ${host} cannot be reached: ${why}.`;
  return new FailedTry(new BallastError('unavailable', message, { cause: error, retryAfterSeconds: 1 }));
}

/** The code of an address that turns out to be wrong: once a model serves, that passes. */
function whereWrong({ request }: Call): ErrorCode {
  return request ? 'unavailable' : 'invalid-model';
}

function timedOut(host: string, seconds: number, cause: unknown): FailedTry {
  const message = `The remote classifier at ${host} did not answer within ${seconds} s.`;
  return new FailedTry(new BallastError('unavailable', message, { cause, retryAfterSeconds: 1 }));
}
