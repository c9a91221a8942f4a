import { basename } from 'node:path';
import { BallastError, messageOf } from '../errors.js';
import type { Provider, ProviderChoice } from './providers.js';
import { rescale, type Rescaling } from './rescale.js';
import { nameOf, Session } from './session.js';
import type { Tensor, TensorMap, TensorSpec } from './tensor.js';

/** An ONNX file that runs beside the model, on the same batch. */
export interface CompanionSpec {
  readonly file: string | Uint8Array;
  /** For each of its graph inputs: what a run is given, a tensor of the model, or an earlier companion's answer. */
  readonly feeds: Readonly<Record<string, string>>;
  /** How its pictures are changed first, for a network that was trained with another mean and deviation. */
  readonly rescaling?: Rescaling | undefined;
  /** Its tensors that may be fetched, by the name that they are fetched under. */
  readonly answers: Readonly<Record<string, string>>;
}

/** A model and its companions. */
export interface EnsembleSpec {
  /** Path of the model's ONNX file, or a model made in memory. */
  readonly file: string | Uint8Array;
  /** Intermediate tensors to expose as outputs. */
  readonly expose: readonly string[];
  /** Layers of the model after which a scale and a shift are inserted, as graph inputs. */
  readonly modulate?: readonly string[];
  readonly companions: readonly CompanionSpec[];
  readonly providers: readonly ProviderChoice[];
  /** Threads that one run may use. */
  readonly threads: number;
  /** How long a thread spins: see `threading`. */
  readonly spinMicroseconds: number;
  /** Whether batches may go through Winograd's convolutions, where they are faster, on a CPU. */
  readonly winograd?: boolean;
}

interface Companion {
  readonly spec: CompanionSpec;
  readonly session: Session;
}

/**
 * A model with the files that run beside it, in this thread. A run goes through the sessions that the wanted tensors
 * need, in order, and through no other; what one hands to the next stays in this thread.
 */
export class Ensemble {
  private constructor(
    private readonly model: Session,
    private readonly companions: readonly Companion[],
  ) {}

  /**
   * Opens every file, on the first provider that works.
   * @throws BallastError as Session.open
   */
  static async open(spec: EnsembleSpec): Promise<Ensemble> {
    const model = await Session.open(spec);
    const companions: Companion[] = [];
    for (const companion of spec.companions) {
      const { file, answers } = companion;
      const expose = typeof file === 'string' ? Object.values(answers) : [];
      const session = await Session.open({ ...spec, file, expose, modulate: [] });
      companions.push({ spec: companion, session });
    }
    return new Ensemble(model, companions);
  }

  get inputs(): readonly TensorSpec[] {
    return this.model.inputs;
  }

  get outputs(): readonly TensorSpec[] {
    return this.model.outputs;
  }

  /** Where the model really runs. */
  get provider(): Provider {
    return this.model.provider;
  }

  /** Providers that were tried before it, with the reason why each failed. */
  get failures(): readonly string[] {
    return [...this.model.failures, ...this.companions.flatMap(({ session }) => session.failures)];
  }

  /** Whether batches go through Winograd's convolutions, in any of the sessions. */
  get winograd(): boolean {
    return this.model.winograd || this.companions.some(({ session }) => session.winograd);
  }

  /** Every tensor that may be fetched. */
  get fetchable(): readonly string[] {
    const answers = this.companions.flatMap(({ spec }) => Object.keys(spec.answers));
    return [...this.outputs.map(({ name }) => name), ...answers];
  }

  /**
   * Runs what the wanted tensors need and what is not given.
   * @param inputs - one tensor for each of the model's graph inputs, and whatever else companions read
   * @param fetches - tensors of the model, and answers of companions
   */
  async run(inputs: TensorMap, fetches: readonly string[]): Promise<TensorMap> {
    if (this.companions.length === 0) return this.model.run(inputs, fetches);
    const needed = this.tensorsFor(fetches, inputs);
    const known: Record<string, Tensor> = { ...inputs };
    const ofModel = this.outputs.flatMap(({ name }) => (needed.has(name) ? [name] : []));
    if (ofModel.length > 0) {
      const own = this.inputs.flatMap(({ name }) => (name in inputs ? [[name, inputs[name]] as const] : []));
      Object.assign(known, await this.model.run(Object.fromEntries(own), ofModel));
    }
    for (const { spec, session } of this.companions) {
      const answers = Object.entries(spec.answers).filter(([name]) => needed.has(name));
      if (answers.length === 0) continue;
      const { rescaling } = spec;
      const feeds = Object.entries(spec.feeds).map(([input, source]) => {
        const tensor = known[source];
        return [input, rescaling === undefined ? tensor : rescale(tensor, rescaling)] as const;
      });
      const outputs = await this.runCompanion(spec, session, Object.fromEntries(feeds), answers);
      for (const [name, tensor] of answers) known[name] = outputs[tensor]!;
    }
    return Object.fromEntries(fetches.map((name) => [name, known[name]]));
  }

  /** Frees every session. */
  async release(): Promise<void> {
    await Promise.all([this.model, ...this.companions.map(({ session }) => session)].map((s) => s.release()));
  }

  private async runCompanion(
    spec: CompanionSpec,
    session: Session,
    feeds: TensorMap,
    answers: readonly (readonly [string, string])[],
  ): Promise<TensorMap> {
    try {
      return await session.run(
        feeds,
        answers.map(([, tensor]) => tensor),
      );
    } catch (error) {
      const told = Object.entries(feeds).map(([name, { dims }]) => `${name} [${dims.join(', ')}]`);
      throw new BallastError(
        'invalid-model',
        `${basename(nameOf(spec.file))} cannot run on what it is fed, ${told.join(', ')}: ${messageOf(error)}`,
      );
    }
  }

  /** The wanted tensors and all that they are made from, without what is given. */
  private tensorsFor(fetches: readonly string[], given: TensorMap): Set<string> {
    const needed = new Set(fetches);
    for (const { spec } of this.companions.toReversed()) {
      if (!Object.keys(spec.answers).some((name) => needed.has(name))) continue;
      for (const source of Object.values(spec.feeds)) if (!(source in given)) needed.add(source);
    }
    return needed;
  }
}
