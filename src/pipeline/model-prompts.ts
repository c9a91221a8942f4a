import { availableParallelism } from 'node:os';
import type { FitPromptOptions, Shots } from '../adapt/fit-prompt.js';
import { BallastError } from '../errors.js';
import type { ProviderChoice } from '../runtime/providers.js';
import type { RemoteSpec } from '../runtime/remote-classifier.js';
import { renderPictures } from '../runtime/render-pictures.js';
import { BETWEEN_LAYERS } from '../runtime/thread-plan.js';
import type { Tensor } from '../runtime/tensor.js';
import type { Job } from './jobs.js';
import type { ModelDefinition } from './model-file.js';
import type { PromptFitSpec } from './prompt-fit.js';
import type { FittableModel, PromptJobs } from './prompt-jobs.js';
import type { PromptVersion } from './prompt-versions.js';
import type { Prompter } from './prompter.js';
import type { LabelledPicture, ModelPrompts } from './serving.js';
import type { DecodeStage } from './stages/decode.js';

/** Shots are kept decoded, so that all of them together may have so many bytes. */
const MOST_SHOT_BYTES = 2 ** 31;

/** What the prompts of a model are made with. */
export interface ModelPromptsParts {
  readonly definition: ModelDefinition;
  readonly labels: readonly string[];
  readonly prompter: Prompter;
  readonly decode: DecodeStage;
  readonly jobs: PromptJobs;
  readonly remote: RemoteSpec | undefined;
  readonly logits: string;
  readonly maxBatchSize: number;
  readonly providers: readonly ProviderChoice[];
}

/** The prompts of one loaded model: its versions, and the jobs that fit new ones. */
export class LoadedPrompts implements ModelPrompts, FittableModel {
  constructor(private readonly parts: ModelPromptsParts) {}

  get name(): string {
    return this.parts.definition.name;
  }

  get version(): string {
    return this.parts.definition.version;
  }

  get folder(): string {
    return this.parts.definition.folder;
  }

  get labels(): readonly string[] {
    return this.parts.labels;
  }

  get versions(): Prompter['versions'] {
    return this.parts.prompter.versions;
  }

  get epsilon(): number {
    return this.parts.prompter.parts.spec.epsilon;
  }

  get choosesVersion(): boolean {
    return this.parts.definition.config.prompt?.version === 'latest';
  }

  get isRemote(): boolean {
    return this.parts.remote !== undefined;
  }

  async list(): Promise<PromptVersion[]> {
    const { activeVersion } = this.parts.prompter;
    const versions = await this.versions.list();
    return versions.map((one) => ({ ...one, active: one.version === activeVersion }));
  }

  activate(version: string | undefined): Promise<void> {
    return this.parts.prompter.activate(version);
  }

  delete(version: string): Promise<void> {
    return this.parts.prompter.delete(version);
  }

  async preview(picture: Uint8Array, version: string): Promise<Uint8Array> {
    const { prompter } = this.parts;
    const image = await this.decode([picture]);
    const prompted = await prompter.prompt({ ...image, data: image.data.slice() }, version);
    const { space } = prompter.parts.spec;
    const [before, after] = [image.data as Float32Array, prompted.data as Float32Array];
    // Grey where the prompt changes nothing.
    const area = space.width * space.height;
    const change = after.map((value, i) => {
      const channel = space.layout === 'nchw' ? Math.floor(i / area) : i % space.channels;
      return (space.low[channel] + space.high[channel] + value - before[i]) / 2;
    });
    return renderPictures([image, { ...image, data: change }, prompted], space);
  }

  async fit(pictures: readonly LabelledPicture[], options: FitPromptOptions): Promise<Job> {
    const { jobs } = this.parts;
    return jobs.start(this, await this.shotsOf(pictures), options);
  }

  /**
   * Decodes labelled pictures.
   * @throws BallastError invalid-input for a label that is no class of the model, naming the picture; too-large where
   *   they are too many to keep; as ImageDecoder.decode
   */
  async shotsOf(pictures: readonly LabelledPicture[]): Promise<Shots> {
    const { labels } = this.parts;
    const indices = pictures.map(({ label, name }) => {
      const index = labels.indexOf(label);
      if (index >= 0) return index;
      throw new BallastError(
        'invalid-input',
        `${name} has the label ${JSON.stringify(label.slice(0, 64))}, which is no class of model "${this.name}"; its classes are ${labels.slice(0, 20).join(', ')}${labels.length > 20 ? ', …' : ''}.`,
      );
    });
    const { width, height, channels } = this.parts.prompter.parts.spec.space;
    if (pictures.length * width * height * channels * 4 > MOST_SHOT_BYTES) {
      throw new BallastError(
        'too-large',
        `${pictures.length} pictures of ${width}x${height} are more than a job takes; a few a class are enough.`,
      );
    }
    const images = await this.decode(pictures.map(({ bytes }) => bytes)).catch((error: unknown) => {
      throw namingPicture(error, pictures);
    });
    return { images, labels: Uint32Array.from(indices) };
  }

  fitSpec(options: FitPromptOptions, folder: string): PromptFitSpec {
    const { prompter, remote, definition, logits, maxBatchSize, providers } = this.parts;
    return {
      coordinator: prompter.parts.spec,
      blackBox: {
        source: remote ?? definition.files.classifier!,
        input: prompter.input.tensor,
        logits,
        maxBatchSize,
      },
      running: { providers, threads: availableParallelism(), spinMicroseconds: BETWEEN_LAYERS },
      options,
      folder,
    };
  }

  private async decode(pictures: readonly Uint8Array[]): Promise<Tensor> {
    const { decode, prompter } = this.parts;
    const [name] = Object.keys(this.parts.definition.config.inputs);
    const { tensors } = await decode.decode({ [name]: pictures }, pictures.length);
    return tensors[prompter.input.tensor];
  }
}

/** The decoder knows pictures by their number alone, and a file among others that is none is the client's mistake. */
function namingPicture(error: unknown, pictures: readonly LabelledPicture[]): unknown {
  if (!(error instanceof BallastError)) return error;
  const message = error.message.replace(
    /\w+\[(\d+)\]/,
    (all, number: string) => pictures.at(Number(number))?.name ?? all,
  );
  return new BallastError('invalid-input', message, { cause: error });
}
