import { availableParallelism } from 'node:os';
import { env, InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { BallastError, messageOf } from '../errors.js';
import { halfTensor } from './half-tensor.js';
import { prepareModel, type PreparedModel } from './onnx/prepare-model.js';
import { readModel } from './onnx/read-model.js';
import { providersToTry, type Provider, type ProviderChoice } from './providers.js';
import type { Tensor, TensorMap, TensorSpec, TensorType } from './tensor.js';
import { BETWEEN_LAYERS } from './thread-plan.js';

type HalfCodec = typeof import('./float16.js');

/** What a session is made from. */
export interface SessionSpec {
  /** Path of the ONNX file, or a model made in memory, of which nothing can be exposed. */
  readonly file: string | Uint8Array;
  /** Intermediate tensors to expose as outputs. */
  readonly expose: readonly string[];
  /** Layers after which a scale and a shift are inserted, as graph inputs. */
  readonly modulate?: readonly string[];
  readonly providers: readonly ProviderChoice[];
  /** Threads that one run may use. */
  readonly threads: number;
  /** How long a thread spins: see `threading`. */
  readonly spinMicroseconds: number;
  /** Whether batches may go through Winograd's convolutions, where they are faster, on a CPU. */
  readonly winograd?: boolean;
}

/** From so many samples on, a batch may go through Winograd's convolutions. */
export const FEWEST_SAMPLES = 4;

/** An ONNX model that runs in this thread: `run` holds the thread until the answer is there. */
export class Session {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  private readonly inputTypes: ReadonlyMap<string, TensorType>;

  private constructor(
    private readonly session: InferenceSession,
    /** The same network, for batches: see openWinograd. */
    private readonly forBatches: InferenceSession | undefined,
    /** Undefined where nothing of the model is float16. */
    private readonly half: HalfCodec | undefined,
    /** The provider that was really taken. */
    readonly provider: Provider,
    /** Providers that were tried before it, with the reason why each failed. */
    readonly failures: readonly string[],
  ) {
    this.inputs = session.inputMetadata.map(toSpec);
    this.outputs = session.outputMetadata.map(toSpec);
    this.inputTypes = new Map(this.inputs.map(({ name, type }) => [name, type]));
  }

  /**
   * Opens a model on the first provider that works.
   * @throws BallastError invalid-model where the file is no valid model, unavailable where no provider works
   */
  static async open(spec: SessionSpec): Promise<Session> {
    const { file } = spec;
    const { model, sessionOptions }: PreparedModel =
      typeof file === 'string'
        ? await prepareModel(file, spec.expose, spec.modulate)
        : { model: file, sessionOptions: {} };
    const failures: string[] = [];
    // onnxruntime writes an error to stderr for each provider that is not there; it is reported here instead.
    env.logLevel = 'fatal';
    for (const provider of providersToTry(spec.providers)) {
      const base = threading(spec.threads, spec.spinMicroseconds);
      const session = { ...(base.extra?.session as object), ...sessionOptions.extra?.session };
      const options = { ...base, extra: { session }, executionProviders: [provider] };
      try {
        const opened =
          typeof model === 'string'
            ? await InferenceSession.create(model, options)
            : await InferenceSession.create(model, options);
        const forBatches =
          spec.winograd === true && provider === 'cpu'
            ? await openForBatches(opened, model, options)
            : undefined;
        return new Session(opened, forBatches, await halfCodecFor(opened), provider, failures);
      } catch (error) {
        if (provider === 'cpu') {
          throw new BallastError(
            'invalid-model',
            `onnxruntime cannot load ${nameOf(file)}: ${messageOf(error)}`,
            {
              cause: error,
            },
          );
        }
        failures.push(`${provider}: ${messageOf(error).trim()}`);
      }
    }
    throw new BallastError(
      'unavailable',
      `None of the providers asked for works on this machine (${failures.join('; ')}). ` +
        'Install the GPU libraries (npm run install:cuda), or name cpu or auto.',
    );
  }

  /**
   * Runs the model.
   * @param inputs - one tensor for each graph input; float32 data is turned to float16 where the graph takes that
   * @param fetches - the outputs wanted; float16 ones come back as float32
   */
  async run(inputs: TensorMap, fetches: readonly string[]): Promise<TensorMap> {
    const feeds: Record<string, OrtTensor> = {};
    for (const name of Object.keys(inputs)) {
      feeds[name] = toOrt(inputs[name], this.inputTypes.get(name), this.half);
    }
    const results = await this.sessionFor(feeds).run(feeds, fetches);
    const outputs: Record<string, Tensor> = {};
    for (const name of Object.keys(results)) outputs[name] = fromOrt(results[name], this.half);
    return outputs;
  }

  /** Whether batches go through Winograd's convolutions. */
  get winograd(): boolean {
    return this.forBatches !== undefined;
  }

  /** Frees the model. */
  async release(): Promise<void> {
    await this.session.release();
    await this.forBatches?.release();
  }

  private sessionFor(feeds: Readonly<Record<string, OrtTensor>>): InferenceSession {
    if (this.forBatches === undefined) return this.session;
    const samples = Object.values(feeds)[0]?.dims[0] ?? 0;
    return samples >= FEWEST_SAMPLES ? this.forBatches : this.session;
  }
}

/** That a model does not take an input, with onnxruntime's reason. */
export function refusedInput(reason: string): BallastError {
  return new BallastError('invalid-input', `The model cannot run on this input: ${reason}`);
}

/** What errors call a model. */
export function nameOf(file: string | Uint8Array): string {
  return typeof file === 'string' ? file : 'a graph that Ballast made';
}

/**
 * Thread settings of every session. They are always explicit, since onnxruntime's own default counts the cores of
 * the host and not of the container.
 * @param threads - threads that one run may use
 * @param spinMicroseconds - how long a thread that has nothing to do spins before it sleeps. The default bridges the
 *   gaps between the layers of a network, and leaves the core to decoding and HTTP after that
 */
export function threading(
  threads = availableParallelism(),
  spinMicroseconds = BETWEEN_LAYERS,
): InferenceSession.SessionOptions {
  const session = { intra_op: { allow_spinning: '1', spin_duration_us: String(spinMicroseconds) } };
  return { intraOpNumThreads: threads, interOpNumThreads: 1, extra: { session } };
}

function toSpec(value: InferenceSession.ValueMetadata): TensorSpec {
  if (!value.isTensor) {
    throw new BallastError(
      'invalid-model',
      `"${value.name}" is no tensor; models with maps or sequences cannot be served.`,
    );
  }
  return {
    name: value.name,
    type: value.type as TensorType,
    dims: value.shape.map((dim) => (typeof dim === 'number' ? dim : -1)),
  };
}

/** Its modules are loaded here alone: the thread that has a model's first copy does without them. */
async function openForBatches(
  plain: InferenceSession,
  model: string | Uint8Array,
  options: InferenceSession.SessionOptions,
): Promise<InferenceSession | undefined> {
  const { openWinograd } = await import('./winograd-session.js');
  return openWinograd(plain, typeof model === 'string' ? await readModel(model) : model, options);
}

/** Loaded where it is needed: every inference worker loads its own modules, and few models are float16. */
async function halfCodecFor(session: InferenceSession): Promise<HalfCodec | undefined> {
  const values = [...session.inputMetadata, ...session.outputMetadata];
  const isHalf = values.some((value) => value.isTensor && value.type === 'float16');
  return isHalf ? import('./float16.js') : undefined;
}

function toOrt(tensor: Tensor, wanted: TensorType | undefined, half: HalfCodec | undefined): OrtTensor {
  const dims = [...tensor.dims];
  if (half !== undefined && wanted === 'float16' && tensor.type === 'float32') {
    return halfTensor(half.toFloat16(tensor.data as Float32Array), dims);
  }
  if (tensor.type === 'float16') return halfTensor(tensor.data as Uint16Array, dims);
  // The constructor's overloads tie each element type to its array; here the pair is known to fit.
  return new OrtTensor(tensor.type as 'float32', tensor.data as Float32Array, dims);
}

function fromOrt(tensor: OrtTensor, half: HalfCodec | undefined): Tensor {
  const dims = tensor.dims;
  if (half !== undefined && tensor.type === 'float16') {
    return { type: 'float32', dims, data: half.toFloat32(tensor.data as Uint16Array) };
  }
  return { type: tensor.type as TensorType, dims, data: tensor.data };
}
