import { coordinatorParts, stackWeights, type CoordinatorParts } from '../adapt/coordinator.js';
import { countFolded, foldDecoder } from '../adapt/decoder-weights.js';
import { BallastError } from '../errors.js';
import { InferenceWorkers } from '../runtime/inference-workers.js';
import type { ProviderChoice } from '../runtime/providers.js';
import type { Tensor } from '../runtime/tensor.js';
import type { ThreadPlan } from '../runtime/thread-plan.js';
import { UNOBSERVED } from './batch.js';
import { Batcher } from './batcher.js';
import type { Batching, ImageInput, PromptConfig } from './model-config.js';
import type { ModelDefinition } from './model-file.js';
import { pictureSpace } from './picture-space.js';
import { PromptVersions } from './prompt-versions.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** The picture input that is prompted. */
export type PromptedInput = ImageInput & { readonly tensor: string };

/** How a prompter runs. */
export interface PrompterOptions {
  readonly providers: readonly ProviderChoice[];
  readonly plan: ThreadPlan;
  readonly batching: Batching;
  readonly warmUpMs: number | undefined;
  readonly onWorkerLost: (reason: string) => void;
}

/** Draws a model's prompts, in workers of its own, so that a prompt serves a remote classifier as well. */
export class Prompter {
  private readonly weights = new Map<string, Tensor>();

  private constructor(
    readonly parts: CoordinatorParts,
    readonly versions: PromptVersions,
    /** The graph input that is prompted. */
    readonly input: PromptedInput,
    private readonly config: PromptConfig,
    private readonly workers: InferenceWorkers,
    private readonly batcher: Batcher,
    private active: string | undefined,
  ) {}

  /**
   * Starts the Coordinator's workers.
   * @throws BallastError invalid-model where the Coordinator does not fit the model; as `read` of a version that
   *   model.yaml names
   */
  static async open(
    { name, folder, config, files }: ModelDefinition,
    images: ReadonlyMap<string, PromptedInput>,
    options: PrompterOptions,
  ): Promise<Prompter | undefined> {
    if (config.prompt === undefined || files.coordinator === undefined) return undefined;
    const [input] = images.values();
    if (images.size !== 1) {
      throw new BallastError(
        'invalid-model',
        `Model "${name}": a prompt needs exactly one input of kind image, and there are ${images.size}.`,
      );
    }
    const { prompt } = config;
    const { coordinator: file } = files;
    const parts = await coordinatorParts({ file, space: pictureSpace(input), epsilon: prompt.epsilon });
    const versions = await PromptVersions.open(folder, parts.plan, file, prompt.epsilon);
    const active = await activeOf(prompt, versions);
    const zeros = stackWeights([new Float32Array(countFolded(parts.plan))]);
    const workers = await InferenceWorkers.start(
      {
        ...parts.ensemble,
        providers: options.providers,
        warmUp: {
          maxBatchSize: options.batching.maxBatchSize,
          sampleShapes: {},
          shared: { weights: zeros },
          budgetMs: options.warmUpMs,
        },
      },
      options.plan,
      options.onWorkerLost,
    );
    // The batches and queues that metrics tell of are the classifier's.
    const batcher = new Batcher(name, workers, options.batching, UNOBSERVED);
    return new Prompter(parts, versions, input, prompt, workers, batcher, active);
  }

  /** The version for requests that name none; undefined for none. */
  get activeVersion(): string | undefined {
    return this.active;
  }

  /**
   * Makes a version the active one, or none, at once and for later starts.
   * @throws BallastError as PromptVersions.activate; conflict where model.yaml pins a version
   */
  async activate(version: string | undefined): Promise<void> {
    if (this.config.version !== 'latest') {
      throw new BallastError(
        'conflict',
        `model.yaml pins prompt.version to ${this.config.version}; set it to latest to choose the version here.`,
      );
    }
    await this.versions.activate(version);
    this.active = version;
  }

  /** @throws BallastError as PromptVersions.delete; conflict where model.yaml pins it */
  async delete(version: string): Promise<void> {
    if (this.config.version === version) {
      throw new BallastError(
        'conflict',
        `model.yaml pins prompt.version to ${version}, so it cannot be deleted.`,
      );
    }
    await this.versions.delete(version);
    this.weights.delete(version);
    if (this.active === version) this.active = undefined;
  }

  /**
   * Draws a version's prompts onto pictures, merged with other requests' that want the same version.
   * @param image - pictures as the classifier takes them, N of them; handed over
   * @returns as many, prompted
   * @throws BallastError as PromptVersions.read; impossible where these are no pictures of the model's size; as
   *   Batcher.run
   */
  async prompt(image: Tensor, version: string, signal?: StopSignal): Promise<Tensor> {
    const { width, height, layout, channels } = this.input;
    const depth = channels === 'grey' ? 1 : 3;
    const shape = layout === 'nchw' ? [depth, height, width] : [height, width, depth];
    if (!(image.data instanceof Float32Array) || image.dims.slice(1).join() !== shape.join()) {
      throw new BallastError(
        'impossible',
        `Only float32 pictures [N, ${shape.join(', ')}] can be prompted; "${this.input.tensor}" is ${image.type} [${image.dims.join(', ')}]. Send the parameter prompt=off for others.`,
      );
    }
    const weights = await this.weightsOf(version);
    const { outputs } = await this.batcher.run({
      inputs: { image },
      shared: { weights },
      count: image.dims[0],
      fetches: ['prompted'],
      signal,
    });
    return outputs['prompted'];
  }

  /** Ends the workers. */
  async close(): Promise<void> {
    await this.workers.close();
  }

  private async weightsOf(version: string): Promise<Tensor> {
    const kept = this.weights.get(version);
    if (kept !== undefined) return kept;
    const { parameters, statistics } = await this.versions.read(version);
    const weights = stackWeights([foldDecoder(this.parts.plan, parameters, statistics)]);
    this.weights.set(version, weights);
    return weights;
  }
}

async function activeOf({ version }: PromptConfig, versions: PromptVersions): Promise<string | undefined> {
  if (version === 'off') return undefined;
  if (version === 'latest') return versions.active();
  await versions.read(version);
  return version;
}
