import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { DecoderPlan } from '../adapt/decoder-plan.js';
import { countParameters, countStatistics } from '../adapt/decoder-plan.js';
import { BallastError, messageOf } from '../errors.js';
import { readSafetensors, writeSafetensors } from '../runtime/safetensors.js';
import { writeAtomically } from '../runtime/write-atomically.js';

const scoreSchema = z.object({ loss: z.number(), accuracy: z.number() });

/** What a prompt was fitted on, and what came of it. */
export const promptCardSchema = z.object({
  /** When, as ISO 8601 has it. */
  created: z.string(),
  /** SHA-256 of the encoder's file: a prompt means nothing to another one. */
  coordinator: z.string(),
  epsilon: z.number(),
  /** Pictures that it was fitted and judged on, and their classes. */
  pictures: z.int(),
  classes: z.array(z.string()),
  /** How it was fitted. */
  options: z.record(z.string(), z.union([z.number(), z.string()])),
  /** The step that it comes from, and the pictures that the classifier was asked about until the end. */
  step: z.int(),
  queries: z.int(),
  /** On the validation share, without a prompt and with this one. */
  base: scoreSchema,
  validation: scoreSchema,
});

export type PromptCard = z.infer<typeof promptCardSchema>;

/** A fitted prompt: the Coordinator's trained numbers. */
export interface Prompt {
  readonly parameters: Float64Array;
  readonly statistics: Float64Array;
  readonly card: PromptCard;
}

/** A line of the list of versions. */
export interface PromptVersion {
  readonly version: string;
  readonly active: boolean;
  readonly card?: PromptCard;
  /** Why it cannot be served, in place of the card. */
  readonly problem?: string;
}

const activeSchema = z.object({
  version: z.string().nullable(),
  /** The highest number that was ever given, so that no other prompt gets it. */
  last: z.int().default(0),
});

/** The prompts of a model, each a file `prompts/<version>.safetensors` with its card in it. */
export class PromptVersions {
  private constructor(
    private readonly folder: string,
    private readonly plan: DecoderPlan,
    /** SHA-256 of the encoder's file. */
    readonly coordinator: string,
    private readonly epsilon: number,
  ) {}

  /**
   * @param modelFolder - where model.yaml is
   * @param coordinatorFile - the encoder
   */
  static async open(
    modelFolder: string,
    plan: DecoderPlan,
    coordinatorFile: string,
    epsilon: number,
  ): Promise<PromptVersions> {
    const hash = createHash('sha256')
      .update(await readFile(coordinatorFile))
      .digest('hex');
    return new PromptVersions(join(modelFolder, 'prompts'), plan, hash, epsilon);
  }

  /** Every version, the oldest first. */
  async list(): Promise<PromptVersion[]> {
    const active = await this.active();
    const versions = await this.numbers();
    return Promise.all(
      versions.map(async (version): Promise<PromptVersion> => {
        const line = { version, active: version === active };
        try {
          return { ...line, card: (await this.read(version)).card };
        } catch (error) {
          return { ...line, problem: messageOf(error) };
        }
      }),
    );
  }

  /**
   * Reads a version.
   * @throws BallastError not-found where there is none of that number; impossible where it was fitted for another
   *   encoder or strength; invalid-input where its file is damaged
   */
  async read(version: string): Promise<Prompt> {
    if (!(await this.numbers()).includes(version)) throw await this.unknown(version);
    const file = this.fileOf(version);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(file);
    } catch {
      throw await this.unknown(version);
    }
    const name = basename(file);
    const { tensors, metadata } = readSafetensors(bytes, name);
    const [parameters, statistics] = [tensors.get('parameters')?.data, tensors.get('statistics')?.data];
    const card = promptCardSchema.safeParse(parseJson(metadata['card'] ?? ''));
    if (!(parameters instanceof Float64Array) || !(statistics instanceof Float64Array) || !card.success) {
      throw new BallastError(
        'invalid-input',
        `${name} is no prompt: it lacks parameters, statistics or card.`,
      );
    }
    const fits =
      card.data.coordinator === this.coordinator &&
      parameters.length === countParameters(this.plan) &&
      statistics.length === countStatistics(this.plan);
    if (!fits || card.data.epsilon !== this.epsilon) {
      throw new BallastError(
        'impossible',
        `Prompt version ${version} was fitted with ${fits ? `epsilon ${card.data.epsilon}, and model.yaml says ${this.epsilon}` : 'another coordinator than the one in model.yaml'}; fit a new one.`,
      );
    }
    return { parameters, statistics, card: card.data };
  }

  /** Writes a new version and returns its number. */
  async write({ parameters, statistics, card }: Prompt): Promise<string> {
    const version = String((await this.lastNumber()) + 1);
    const tensors = new Map([
      ['parameters', { shape: [parameters.length], data: parameters }],
      ['statistics', { shape: [statistics.length], data: statistics }],
    ]);
    const bytes = writeSafetensors({ tensors, metadata: { card: JSON.stringify(card) } });
    await writeAtomically(this.fileOf(version), bytes);
    return version;
  }

  /** The version that requests get which name none; undefined where pictures go to the classifier as they are. */
  async active(): Promise<string | undefined> {
    const { version } = await this.kept();
    return version !== null && (await this.numbers()).includes(version) ? version : undefined;
  }

  /**
   * Makes a version the active one, or none.
   * @throws BallastError as `read`
   */
  async activate(version: string | undefined): Promise<void> {
    if (version !== undefined) await this.read(version);
    await writeAtomically(
      this.activeFile,
      JSON.stringify({ version: version ?? null, last: await this.lastNumber() }),
    );
  }

  /**
   * Deletes a version; where it was active, none is from then on.
   * @throws BallastError not-found where there is none of that number
   */
  async delete(version: string): Promise<void> {
    if (!(await this.numbers()).includes(version)) throw await this.unknown(version);
    const active = await this.active();
    await this.activate(active === version ? undefined : active);
    await rm(this.fileOf(version));
  }

  private async lastNumber(): Promise<number> {
    const { last } = await this.kept();
    return Math.max(last, Number((await this.numbers()).at(-1) ?? 0));
  }

  private async kept(): Promise<z.infer<typeof activeSchema>> {
    const text = await readFile(this.activeFile, 'utf8').catch(() => '');
    const parsed = activeSchema.safeParse(parseJson(text));
    return parsed.success ? parsed.data : { version: null, last: 0 };
  }

  private get activeFile(): string {
    return join(this.folder, 'active.json');
  }

  private fileOf(version: string): string {
    return join(this.folder, `${version}.safetensors`);
  }

  private async numbers(): Promise<string[]> {
    const files = await readdir(this.folder).catch(() => [] as string[]);
    return files
      .flatMap((file) => /^([1-9]\d*)\.safetensors$/.exec(file)?.[1] ?? [])
      .sort((a, b) => Number(a) - Number(b));
  }

  private async unknown(version: string): Promise<BallastError> {
    const known = await this.numbers();
    return new BallastError(
      'not-found',
      `There is no prompt version ${JSON.stringify(version.slice(0, 64))}; ${known.length === 0 ? 'none was fitted yet' : `there are ${known.join(', ')}`}.`,
    );
  }
}

/** Undefined where the text is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
