import { beats, type FitPromptOptions, type FitState, type Score } from '../adapt/fit-prompt.js';
import type { PromptResult } from './jobs.js';
import type { PromptCard, PromptVersions } from './prompt-versions.js';

/** A model that keeps prompts. */
export interface PromptOwner {
  readonly labels: readonly string[];
  readonly versions: PromptVersions;
  readonly epsilon: number;
  /** Whether model.yaml leaves the choice of the version to fits and clients. */
  readonly choosesVersion: boolean;
  /** Makes a version the one that requests get. */
  activate(version: string): Promise<void>;
}

/** What a prompt was fitted to, and how. */
export interface FittedTo {
  readonly pictures: number;
  /** Numbers of the classes among them. */
  readonly classes: readonly number[];
  readonly options: FitPromptOptions;
}

/**
 * Writes the best prompt of a fit as a new version and, where it beats the model without a prompt on the validation
 * share, makes it the active one.
 * @throws BallastError unavailable where it cannot be written
 */
export async function keepPrompt(
  model: PromptOwner,
  { pictures, classes, options }: FittedTo,
  { base, best, statistics, queries }: FitState,
): Promise<PromptResult> {
  const { parameters, step, ...validation } = best;
  const card: PromptCard = {
    created: new Date().toISOString(),
    coordinator: model.versions.coordinator,
    epsilon: model.epsilon,
    pictures,
    classes: classes.map((index) => model.labels[index]),
    options: { ...options },
    step,
    queries,
    base,
    validation,
  };
  const prompt = await model.versions.write({ parameters, statistics, card });
  const helps = beats(validation, base);
  const active = helps && model.choosesVersion;
  if (active) await model.activate(prompt);
  const outcome = active
    ? 'it is active'
    : helps
      ? 'model.yaml pins another version, so it is not active'
      : 'it does not beat the model without a prompt, so it is kept but not active';
  const verdict = `prompt ${prompt}: ${percent(base)} of the validation share right without it, ${percent(validation)} with it; ${outcome}`;
  return { prompt, active, verdict, base, validation };
}

function percent({ accuracy }: Score): string {
  return `${(accuracy * 100).toFixed(1)} %`;
}
