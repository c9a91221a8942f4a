import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Coordinator,
  coordinatorParts,
  type CoordinatorSpec,
  type RunningOptions,
} from '../adapt/coordinator.js';
import {
  fitPrompt,
  type FitProgress,
  type FitPromptOptions,
  type FitState,
  type Score,
  type Shots,
} from '../adapt/fit-prompt.js';
import { BallastError } from '../errors.js';
import { readSafetensors, writeSafetensors, type FloatTensor } from '../runtime/safetensors.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import { openBlackBox, type BlackBoxSpec } from './black-box.js';

/** All that a thread needs to fit a prompt. */
export interface PromptFitSpec {
  readonly coordinator: CoordinatorSpec;
  readonly blackBox: BlackBoxSpec;
  readonly running: RunningOptions;
  readonly options: FitPromptOptions;
  /** Where the shots are, and checkpoints go. */
  readonly folder: string;
}

/** What a fit tells while it runs. */
export interface PromptFitHooks {
  readonly onProgress?: (progress: FitProgress) => void;
  /** Pictures that the classifier was asked about since the last call. */
  readonly onQueries?: (pictures: number) => void;
  /** As fitPrompt has it. */
  readonly pause?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** A checkpoint is written no more often than this. */
const CHECKPOINT_MS = 1000;

/**
 * Fits a prompt from the shots and, where there is one, the checkpoint in a folder.
 * @throws BallastError as fitPrompt; unavailable where a checkpoint cannot be written
 */
export async function runPromptFit(spec: PromptFitSpec, hooks: PromptFitHooks): Promise<FitState> {
  const { running, options, folder } = spec;
  const { onProgress, onQueries = () => undefined, pause, signal } = hooks;
  const [shots, from, parts] = await Promise.all([
    readShots(folder),
    readCheckpoint(folder),
    coordinatorParts(spec.coordinator),
  ]);
  const coordinator = await Coordinator.open(parts, running);
  const blackBox = await openBlackBox(spec.blackBox, running, onQueries);
  let written = Number.NEGATIVE_INFINITY;
  return fitPrompt({
    coordinator,
    blackBox,
    shots,
    options,
    from,
    ...(onProgress && { onProgress }),
    ...(pause && { pause }),
    ...(signal && { signal }),
    onCheckpoint: async (state) => {
      if (performance.now() - written < CHECKPOINT_MS) return;
      await writeCheckpoint(folder, state);
      written = performance.now();
    },
  });
}

/** Keeps the shots of a fit in its folder. */
export async function writeShots(folder: string, { images, labels }: Shots): Promise<void> {
  const tensors = new Map<string, FloatTensor>([
    ['images', { shape: images.dims, data: images.data as Float32Array }],
    ['labels', { shape: [labels.length], data: Float32Array.from(labels) }],
  ]);
  await writeAtomically(join(folder, 'shots.safetensors'), writeSafetensors({ tensors, metadata: {} }));
}

async function readShots(folder: string): Promise<Shots> {
  const path = join(folder, 'shots.safetensors');
  const { tensors } = readSafetensors(await readFile(path), path);
  const [images, labels] = [tensors.get('images'), tensors.get('labels')];
  if (images === undefined || labels === undefined) {
    throw new BallastError('invalid-input', `${path} lacks images or labels.`);
  }
  return {
    images: { type: 'float32', dims: images.shape, data: images.data },
    labels: Uint32Array.from(labels.data),
  };
}

/** Forgets the shots and the checkpoint of a fit that has ended. */
export async function removeFitFiles(folder: string): Promise<void> {
  await Promise.all(
    ['shots', 'checkpoint'].map((name) => rm(join(folder, `${name}.safetensors`), { force: true })),
  );
}

/** What of a state is no long row of numbers. */
interface CheckpointNumbers {
  readonly step: number;
  readonly base: Score;
  readonly best: Score & { readonly step: number };
  readonly queries: number;
}

async function writeCheckpoint(
  folder: string,
  { spsa, statistics, base, best, queries }: FitState,
): Promise<void> {
  const row = (data: Float64Array): FloatTensor => ({ shape: [data.length], data });
  const { parameters, ...score } = best;
  const numbers: CheckpointNumbers = { step: spsa.step, base, best: score, queries };
  const tensors = new Map([
    ['parameters', row(spsa.parameters)],
    ['momentum', row(spsa.momentum)],
    ['statistics', row(statistics)],
    ['best', row(parameters)],
  ]);
  const bytes = writeSafetensors({ tensors, metadata: { numbers: JSON.stringify(numbers) } });
  await writeAtomically(join(folder, 'checkpoint.safetensors'), bytes);
}

async function readCheckpoint(folder: string): Promise<FitState | undefined> {
  const path = join(folder, 'checkpoint.safetensors');
  const bytes = await readFile(path).catch(() => undefined);
  if (bytes === undefined) return undefined;
  const { tensors, metadata } = readSafetensors(bytes, path);
  const { step, base, best, queries } = JSON.parse(metadata['numbers'] ?? '{}') as CheckpointNumbers;
  const row = (name: string): Float64Array => Float64Array.from(tensors.get(name)?.data ?? []);
  return {
    spsa: { step, parameters: row('parameters'), momentum: row('momentum') },
    statistics: row('statistics'),
    base,
    best: { ...best, parameters: row('best') },
    queries,
  };
}
