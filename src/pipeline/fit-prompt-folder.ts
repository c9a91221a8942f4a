import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FitProgress, FitPromptOptions } from '../adapt/fit-prompt.js';
import { BallastError } from '../errors.js';
import type { ProviderChoice } from '../runtime/providers.js';
import type { PromptResult } from './jobs.js';
import { keepPrompt } from './keep-prompt.js';
import { readLabelledFolder } from './labelled-folder.js';
import { readModelFile } from './model-file.js';
import { openAlone } from './open-alone.js';
import { runPromptFit, writeShots } from './prompt-fit.js';

/** What `ballast fit --images` is asked for. */
export interface FitPromptFolderOptions {
  readonly modelsDir: string;
  readonly model: string;
  /** Folder of pictures, one folder a class. */
  readonly images: string;
  readonly provider: ProviderChoice;
  readonly remoteHosts: readonly string[];
  /** Told whether the classifier is remote, so that a budget must have been given. */
  readonly fit: (isRemote: boolean) => FitPromptOptions;
  readonly onProgress?: (progress: FitProgress) => void;
}

/**
 * Fits a prompt to a folder of pictures, in this thread, and keeps it as a new version of the model's.
 * @throws BallastError as LoadedModel.open, readLabelledFolder, runPromptFit and keepPrompt
 */
export async function fitPromptFolder(options: FitPromptFolderOptions): Promise<PromptResult> {
  const { modelsDir, model: name, images, provider, remoteHosts, onProgress } = options;
  const definition = await readModelFile(join(modelsDir, name), name, '1');
  const model = await openAlone(definition, provider, remoteHosts);
  const folder = await mkdtemp(join(tmpdir(), 'ballast-fit-'));
  try {
    const { prompts } = model;
    if (prompts === undefined) {
      throw new BallastError(
        'invalid-model',
        `Model "${name}" has no coordinator; prompt.coordinator in its model.yaml gives it one.`,
      );
    }
    const listed = await readLabelledFolder(images, model.labels);
    const shots = await prompts.shotsOf(
      await Promise.all(
        listed.map(async ({ path, label }) => ({
          name: path,
          bytes: await readFile(path),
          label: model.labels[label],
        })),
      ),
    );
    await writeShots(folder, shots);
    const fit = options.fit(prompts.isRemote);
    const state = await runPromptFit(prompts.fitSpec(fit, folder), { ...(onProgress && { onProgress }) });
    const classes = [...new Set(shots.labels)].sort((a, b) => a - b);
    return await keepPrompt(prompts, { pictures: listed.length, classes, options: fit }, state);
  } finally {
    await model.close();
    await rm(folder, { recursive: true, force: true });
  }
}
