import { BallastError } from '../errors.js';
import type { ForwardPass } from './inference-workers.js';
import { Lanes } from './lanes.js';
import {
  HEADER_LENGTH,
  hasBinaryData,
  readInferAnswer,
  readModelMetadata,
  writeInferRequest,
  type OipModel,
} from './oip-client.js';
import { RemoteTransport } from './remote-transport.js';
import type { TensorMap, TensorSpec } from './tensor.js';
import type { StopSignal } from './stop-signal.js';

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
    private readonly transport: RemoteTransport,
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
    const transport = new RemoteTransport(spec, checkedHeaders(spec), onQueries);
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
  run(inputs: TensorMap, fetches: readonly string[], signal?: StopSignal): Promise<ForwardPass> {
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
    signal: StopSignal | undefined,
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

function beingClosed(): BallastError {
  return new BallastError('unavailable', 'The model is being taken out of service.');
}
