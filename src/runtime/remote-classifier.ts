import { setTimeout as pause } from 'node:timers/promises';
import pRetry from 'p-retry';
import { BallastError, messageOf, type ErrorCode } from '../errors.js';
import type { ForwardPass } from './inference-workers.js';
import { Lanes } from './lanes.js';
import {
  HEADER_LENGTH,
  hasBinaryData,
  readInferAnswer,
  readModelMetadata,
  writeInferRequest,
  type OipModel,
  type OipRequest,
} from './oip-client.js';
import type { TensorMap, TensorSpec } from './tensor.js';

/** Where a remote classifier is, and how it is called. */
export interface RemoteSpec {
  /** The model's address, e.g. https://host:8000/v2/models/resnet (a version may follow: /versions/2). */
  readonly url: string;
  /** Sent with every call. They may hold credentials, so no error names them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Seconds that one call may take. */
  readonly timeoutSeconds: number;
  /** Tries after the first one. */
  readonly retries: number;
  /** Calls under way at once, at most. */
  readonly maxInFlight: number;
  /** Hosts ("host" or "host:port") that may be called. */
  readonly allowedHosts: readonly string[];
}

/** A call for metadata, or with a request for inference on so many samples. */
interface Call {
  readonly url: URL;
  readonly request?: OipRequest;
  readonly samples?: number;
}

interface Answer {
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

/**
 * A classifier that another server runs, called by the Open Inference Protocol v2 over REST. It stands where
 * InferenceWorkers stand.
 */
export class RemoteClassifier {
  /** What the model takes; -1 for a dimension that may vary. */
  readonly inputs: readonly TensorSpec[];
  /** What the model answers; float16 ones come back as float32. */
  readonly outputs: readonly TensorSpec[];
  private readonly inferUrl: URL;
  private readonly lanes: Lanes;
  private readonly calls = new Set<AbortController>();
  private closed = false;

  private constructor(
    private readonly spec: RemoteSpec,
    private readonly url: URL,
    private readonly transport: Transport,
    model: OipModel,
    private readonly binary: boolean,
  ) {
    this.inputs = model.inputs;
    this.outputs = model.outputs;
    this.inferUrl = new URL(url);
    this.inferUrl.pathname += '/infer';
    this.lanes = new Lanes(spec.maxInFlight);
  }

  /**
   * Reads the model's metadata, and whether its server takes binary tensors.
   * @param spec - where it is
   * @param onQueries - told of the samples of every try just before it is sent, so a retry counts again. What it
   *   throws ends the call, and nothing is sent
   * @throws BallastError invalid-model where the address may not be called, no model is there, or the model has
   *   tensors of strings; unavailable where the remote cannot be reached, fails, refuses the credentials or answers
   *   garbage
   */
  static async connect(
    spec: RemoteSpec,
    onQueries: (samples: number) => void = () => undefined,
  ): Promise<RemoteClassifier> {
    const url = allowedUrl(spec);
    const transport = new Transport(spec, checkedHeaders(spec), onQueries);
    const { signal } = new AbortController();
    const model = readModelMetadata(url.host, (await transport.send({ url }, signal)).body);
    let binary = false;
    try {
      binary = hasBinaryData(url.host, (await transport.send({ url: serverOf(url) }, signal)).body);
    } catch {
      // Every server of the protocol takes JSON, also one that says nothing of itself.
    }
    return new RemoteClassifier(spec, url, transport, model, binary);
  }

  /** Calls that may be under way at once. */
  get count(): number {
    return this.spec.maxInFlight;
  }

  /**
   * Runs a batch.
   * @param inputs - one tensor for each of the model's inputs, batch first; float32 where the model takes float16 is
   *   turned to that
   * @param fetches - names of the outputs wanted
   * @param signal - aborts at once, also while the call waits for others or for its next try
   * @returns the outputs, float16 ones as float32; `seconds` are those of the call from when its turn came, with all
   *   tries and the waits between them
   * @throws BallastError unavailable where the remote cannot be reached, fails, takes too long, refuses the
   *   credentials or answers garbage; invalid-input where it refuses the batch, with its reason
   * @throws the signal's reason
   */
  run(inputs: TensorMap, fetches: readonly string[], signal?: AbortSignal): Promise<ForwardPass> {
    return this.underWay(signal, (aborted) =>
      this.lanes.run(async () => {
        aborted.throwIfAborted();
        return this.infer(inputs, fetches, aborted);
      }),
    );
  }

  /** Aborts the calls under way, which fail as unavailable, and takes no more. */
  close(): Promise<void> {
    this.closed = true;
    for (const call of this.calls) call.abort(beingClosed());
    return Promise.resolve();
  }

  private async infer(
    inputs: TensorMap,
    fetches: readonly string[],
    signal: AbortSignal,
  ): Promise<ForwardPass> {
    const begin = performance.now();
    const wanted = fetches.map((name) => {
      const spec = this.outputs.find((output) => output.name === name);
      if (spec) return spec;
      throw new BallastError('invalid-input', `The remote classifier has no output "${name}".`);
    });
    const request = await writeInferRequest(inputs, this.inputs, fetches, this.binary);
    const samples = inputs[this.inputs[0].name].dims[0] ?? 1;
    const answer = await this.transport.send({ url: this.inferUrl, request, samples }, signal);
    const headerLength = answer.headers.get(HEADER_LENGTH);
    const outputs = readInferAnswer(this.url.host, answer.body, headerLength, wanted, samples);
    return { outputs, seconds: (performance.now() - begin) / 1000 };
  }

  /** Does work that the caller and `close` can abort; then it fails at once, whatever the work is waiting for. */
  private async underWay<T>(
    signal: AbortSignal | undefined,
    work: (aborted: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    if (this.closed) throw beingClosed();
    const call = new AbortController();
    const aborted = new Promise<never>((_, reject) => {
      const fail = (): void => {
        reject(call.signal.reason as Error);
      };
      call.signal.addEventListener('abort', fail, { once: true });
    });
    const abort = (): void => {
      call.abort(signal?.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.calls.add(call);
    try {
      return await Promise.race([work(call.signal), aborted]);
    } finally {
      this.calls.delete(call);
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** The HTTP to one remote: tries, their deadlines, the waits between them, and what goes wrong in words. */
class Transport {
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

/** @throws BallastError invalid-model where the address is none, or its host may not be called */
function allowedUrl({ url: text, allowedHosts }: RemoteSpec): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new BallastError(
      'invalid-model',
      'The address of the remote classifier must be an http: or https: URL, such as https://host:8000/v2/models/resnet.',
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new BallastError(
      'invalid-model',
      `The address of the remote classifier at ${url.host} holds credentials; set them in classifier.headers.`,
    );
  }
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const names = new Set([url.host, url.hostname, `${url.hostname}:${port}`]);
  if (!allowedHosts.some((allowed) => names.has(allowed.toLowerCase()))) {
    throw new BallastError(
      'invalid-model',
      `The remote classifier at ${url.host} may not be called: its host is not among those that --remote-hosts allows. Start the server with --remote-hosts ${url.host} to allow it.`,
    );
  }
  url.hash = '';
  url.pathname = url.pathname.replace(/\/+$/, '');
  return url;
}

/** @throws BallastError invalid-model where HTTP cannot carry a header; its value is not told */
function checkedHeaders({ headers }: RemoteSpec): Headers {
  const checked = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    try {
      checked.set(name, value);
    } catch {
      throw new BallastError(
        'invalid-model',
        `A header in classifier.headers, "${name}", has a name or a value that HTTP cannot carry.`,
      );
    }
  }
  return checked;
}

/** Where the server of a model tells of itself; a gateway may have put a prefix before the protocol's paths. */
function serverOf(model: URL): URL {
  const result = new URL(model);
  const end = model.pathname.lastIndexOf('/v2/models/');
  result.pathname = `${end < 0 ? '' : model.pathname.slice(0, end)}/v2`;
  return result;
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

function beingClosed(): BallastError {
  return new BallastError('unavailable', 'The model is being taken out of service.');
}
