import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { openEvaluatedModel, type EvaluatedModel } from '#ballast/eval/evaluated-model.js';
import type { RequestOptions } from '#ballast/pipeline/batch.js';
import type { LoadedModel } from '#ballast/pipeline/loaded-model.js';

/** One way to be answered by the two classifiers, as a request asks for it. */
export interface Mixture {
  readonly name: string;
  readonly served: LoadedModel;
  readonly options: RequestOptions;
}

/** The mixtures of a model. */
export interface OpenedMixtures {
  readonly mixtures: readonly Mixture[];
  readonly model: EvaluatedModel;
  close(): Promise<void>;
}

const MODEL = 'cifar10';

const ALPHAS = [0, 0.25, 0.5, 0.75, 0.9, 1];

/** Nonlinear mixing, as the model card says it was searched on held-out training pictures. */
const NONLINEAR = { alpha: 0.9, nonlinear: { scale: 0.3, power: 6, shift: 0 } };

/**
 * Loads the model as a server does, and a copy of it whose model.yaml asks for nonlinear mixing (MixedNUTS, Bai et al.,
 * 2024) in place of the mixing network: a request can ask for what its model has, and one model has one of them.
 * @param models - folder of models
 * @throws BallastError as openEvaluatedModel
 */
export async function openMixtures(models: string): Promise<OpenedMixtures> {
  const copies = await mkdtemp(join(tmpdir(), 'ballast-paper-'));
  const opened: EvaluatedModel[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map(({ served }) => served.close()));
    await rm(copies, { recursive: true });
  };
  try {
    const model = await openEvaluatedModel(models, MODEL, 'auto');
    opened.push(model);
    await copyNonlinear(join(models, MODEL), join(copies, MODEL));
    const nonlinear = await openEvaluatedModel(copies, MODEL, 'auto');
    opened.push(nonlinear);
    // LAME would let pictures of a request influence each other, and the attack's tries are the same picture over and over.
    const alone = { lame: false };
    const mixtures: Mixture[] = [
      ...ALPHAS.map((alpha) => ({
        name: nameOf(alpha),
        served: model.served,
        options: { ...alone, alpha },
      })),
      { name: 'mixing network', served: model.served, options: { ...alone, smoothing: true } },
      { name: 'nonlinear mixing', served: nonlinear.served, options: { ...alone, smoothing: true } },
    ];
    return { mixtures, model, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function nameOf(alpha: number): string {
  if (alpha === 0) return 'α = 0, standard classifier alone';
  return alpha === 1 ? 'α = 1, robust classifier alone' : `α = ${alpha}`;
}

async function copyNonlinear(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  const file = join(to, 'model.yaml');
  const config = parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  const smoothing = { ...NONLINEAR, default: 'off', certificate: 'none' };
  await writeFile(file, stringify({ ...config, smoothing }));
}
