import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { BallastError, messageOf } from '../errors.js';
import { Ensemble, type EnsembleSpec } from '../runtime/ensemble.js';
import type { PictureSpace } from '../runtime/picture-space.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import { Session, type SessionSpec } from '../runtime/session.js';
import type { Tensor } from '../runtime/tensor.js';
import { decoderModel, encoderInputModel } from './decoder-graph.js';
import { planDecoder, type DecoderPlan } from './decoder-plan.js';
import { foldDecoder } from './decoder-weights.js';

/** What a Coordinator is made from. */
export interface CoordinatorSpec {
  /** ONNX file of the encoder: RGB pictures in [0, 1] `[N, 3, h, w]` to `z [N, D]`. */
  readonly file: string;
  readonly space: PictureSpace;
  /** Strength of the prompt: ε. */
  readonly epsilon: number;
}

/** The parts of a Coordinator, for an Ensemble, and the shapes of its decoder. */
export interface CoordinatorParts {
  readonly plan: DecoderPlan;
  readonly spec: CoordinatorSpec;
  /** Reads `image`, and `weights [V, F]`; answers `z [N, D]` and `prompted [V·N, …]`. */
  readonly ensemble: Pick<EnsembleSpec, 'file' | 'expose' | 'companions'>;
}

/**
 * Reads a Coordinator's encoder and plans its decoder.
 * @throws BallastError invalid-model where the file is no encoder of pictures
 */
export async function coordinatorParts(spec: CoordinatorSpec): Promise<CoordinatorParts> {
  const { file, space, epsilon } = spec;
  const refuse = (why: string): BallastError => new BallastError('invalid-model', `${basename(file)} ${why}`);
  const bytes = await readFile(file).catch((error: unknown) => {
    throw refuse(`cannot be read: ${messageOf(error)}`);
  });
  const { inputs, outputs } = inspectModel(bytes);
  const z = outputs.find(({ name, dims }) => name === 'z' && dims.length === 2) ?? outputs[0];
  const [input] = inputs;
  if (inputs.length !== 1 || input.dims.length !== 4 || ![3, -1].includes(input.dims[1])) {
    throw refuse(
      `takes ${inputs.map(({ name, dims }) => `"${name}" [${dims.join(', ')}]`).join(', ')}; a Coordinator's encoder takes RGB pictures in [0, 1], [N, 3, H, W].`,
    );
  }
  if (z.dims.length !== 2 || z.dims[1] < 1) {
    throw refuse(
      `answers "${z.name}" [${z.dims.join(', ')}]; a Coordinator's encoder answers z, [N, D], where D is a number in the file.`,
    );
  }
  const [, , height, width] = input.dims;
  const size = height > 0 && width > 0 ? { height, width } : undefined;
  const plan = planDecoder(z.dims[1], space.height, space.width, space.channels);
  return {
    plan,
    spec,
    ensemble: {
      file: encoderInputModel(space, size),
      expose: [],
      companions: [
        { file, feeds: { [input.name]: 'pixels' }, answers: { z: z.name } },
        {
          file: decoderModel(plan, space, epsilon),
          feeds: { image: 'image', z: 'z', weights: 'weights' },
          answers: { prompted: 'prompted' },
        },
      ],
    },
  };
}

/** How a Coordinator runs. */
export type RunningOptions = Pick<SessionSpec, 'providers' | 'threads' | 'spinMicroseconds'>;

/** A Coordinator whose sessions live in this thread. */
export class Coordinator {
  private constructor(
    private readonly parts: CoordinatorParts,
    private readonly ensemble: Ensemble,
    private readonly running: RunningOptions,
  ) {}

  /** @throws BallastError as Session.open */
  static async open(parts: CoordinatorParts, running: RunningOptions): Promise<Coordinator> {
    return new Coordinator(parts, await Ensemble.open({ ...parts.ensemble, ...running }), running);
  }

  /** The shapes of its decoder. */
  get plan(): DecoderPlan {
    return this.parts.plan;
  }

  /**
   * The encoder's answer, which no prompt changes.
   * @param images - float32, as the classifier takes them, N of them
   * @returns z `[N, D]`
   */
  async encode(images: Tensor): Promise<Tensor> {
    const { z } = await this.ensemble.run({ image: images }, ['z']);
    return z;
  }

  /**
   * Prompts pictures with several sets of weights at once.
   * @param images - as for `encode`
   * @param z - their codes
   * @param sets - of `foldDecoder`
   * @returns the pictures with the first set, then with the second, and so on: `[V·N, …]`
   */
  async prompt(images: Tensor, z: Tensor, sets: readonly Float32Array[]): Promise<Tensor> {
    const weights = stackWeights(sets);
    const { prompted } = await this.ensemble.run({ image: images, z, weights }, ['prompted']);
    return prompted;
  }

  /**
   * The mean and variance that each normalisation of the decoder sees on some pictures. The reference normalises every
   * batch by its own; frozen, a picture's prompt depends on that picture alone.
   * @param parameters - `[P]`
   * @returns `[S]`, for `foldDecoder`
   */
  async measure(images: Tensor, z: Tensor, parameters: Float64Array): Promise<Float64Array> {
    const { plan, spec } = this.parts;
    const measuring = await Session.open({
      ...this.running,
      file: decoderModel(plan, spec.space, spec.epsilon, { moments: true }),
      expose: [],
    });
    try {
      let statistics = new Float64Array(0);
      const identity = identityScaled(plan, parameters);
      for (const [block, { outputs }] of plan.blocks.entries()) {
        const weights = stackWeights([foldDecoder(plan, identity(block), statistics)]);
        const names = [`mean_${block}`, `variance_${block}`];
        const moments = await measuring.run({ image: images, z, weights }, names);
        const grown = new Float64Array(statistics.length + 2 * outputs);
        grown.set(statistics);
        names.forEach((name, i) => {
          grown.set(moments[name].data as Float32Array, statistics.length + i * outputs);
        });
        statistics = grown;
      }
      return statistics;
    } finally {
      await measuring.release();
    }
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    await this.ensemble.release();
  }
}

/** Sets of folded weights as the decoder reads them: `[V, F]`. */
export function stackWeights(sets: readonly Float32Array[]): Tensor {
  const [first] = sets;
  const data = new Float32Array(sets.length * first.length);
  sets.forEach((set, index) => {
    data.set(set, index * first.length);
  });
  return { type: 'float32', dims: [sets.length, first.length], data };
}

/** The parameters with scale 1 and shift 0 in the normalisation of one block, whose input is to be measured. */
function identityScaled(plan: DecoderPlan, parameters: Float64Array): (block: number) => Float64Array {
  return (wanted) => {
    const changed = parameters.slice();
    let offset = plan.triggerSize;
    plan.blocks.forEach(({ middle, outputs }, block) => {
      offset += 4 * middle + middle + middle * outputs;
      if (block === wanted)
        changed.fill(1, offset, offset + outputs).fill(0, offset + outputs, offset + 2 * outputs);
      offset += 2 * outputs;
    });
    return changed;
  };
}
