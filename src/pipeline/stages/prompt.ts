import { BallastError } from '../../errors.js';
import type { RequestOptions } from '../batch.js';
import type { Batch, Stage } from '../pipeline.js';
import type { Prompter } from '../prompter.js';

/** Draws a prompt onto every picture before the classifier sees it. */
export class PromptStage implements Stage {
  readonly name = 'prompt';
  readonly mixesSamples = false;

  /**
   * @param model - named in errors
   * @param prompter - undefined where model.yaml has no coordinator
   */
  constructor(
    private readonly model: string,
    private readonly prompter: Prompter | undefined,
  ) {}

  /**
   * Whether a request can have what it asks for.
   * @throws BallastError impossible where it wants a prompt that the model cannot draw, or a certificate beside one
   */
  check(options: RequestOptions): void {
    const { prompt, certify } = options;
    if (this.prompter === undefined && prompt !== undefined && prompt !== 'off') {
      throw new BallastError(
        'impossible',
        `Model "${this.model}" has no coordinator, so it takes no prompt; prompt.coordinator in its model.yaml gives it one.`,
      );
    }
    if (certify === true && this.versionFor(options) !== undefined) {
      throw new BallastError(
        'impossible',
        'A certificate holds for the picture that the classifiers see, and the prompt changes it; send prompt=off with certify=on.',
      );
    }
  }

  /** The version that a request gets; undefined for none. */
  versionFor({ prompt }: RequestOptions): string | undefined {
    return prompt === 'off' ? undefined : (prompt ?? this.prompter?.activeVersion);
  }

  /** @throws BallastError as Prompter.prompt */
  async run(batch: Batch): Promise<void> {
    const version = this.versionFor(batch.options);
    if (this.prompter === undefined || version === undefined) return;
    const { tensor } = this.prompter.input;
    const prompted = await this.prompter.prompt(batch.inputs[tensor], version, batch.options.signal);
    batch.inputs = { ...batch.inputs, [tensor]: prompted };
    batch.prompt = { version };
  }
}
