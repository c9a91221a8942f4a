import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { parse, stringify } from 'yaml';
import { UNOBSERVED } from '#ballast/pipeline/batch.js';
import { ModelRegistry } from '#ballast/pipeline/registry.js';
import type { ServedModel } from '#ballast/pipeline/serving.js';
import type { Affinity } from './options.js';

/** One model, served once with each affinity. */
export interface ServedModels {
  get(affinity: Affinity): ServedModel;
  close(): Promise<void>;
}

/**
 * Copies a model's folder once for each affinity, with that affinity and k = 5 in its model.yaml, and loads the
 * copies as the server does.
 * @throws Error with the model's reason where one of them cannot be loaded
 */
export async function serveModels(
  models: string,
  model: string,
  affinities: readonly Affinity[],
): Promise<ServedModels> {
  const directory = await mkdtemp(join(tmpdir(), 'ballast-shift-'));
  try {
    for (const affinity of affinities) await copyModel(join(models, model), directory, affinity);
    const registry = await ModelRegistry.open({
      directory,
      providers: ['auto'],
      cores: availableParallelism(),
      workers: 1,
      threads: undefined,
      warmUpMs: 1000,
      remoteHosts: [],
      observer: UNOBSERVED,
      log: pino({ level: 'silent' }),
      streamLimits: { maxStreams: 1000, maxBytes: 1e9, maxIdleSeconds: 3600 },
    });
    const failed = registry.index().find(({ state }) => state !== 'READY');
    if (failed !== undefined) throw new Error(`${model} with ${failed.name}: ${failed.reason}`);
    return {
      get: (affinity) => registry.get(affinity),
      close: async () => {
        await registry.close();
        await rm(directory, { recursive: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true });
    throw error;
  }
}

async function copyModel(from: string, directory: string, affinity: Affinity): Promise<void> {
  const folder = join(directory, affinity);
  await cp(from, folder, { recursive: true });
  const file = join(folder, 'model.yaml');
  const config = parse(await readFile(file, 'utf8')) as { lame?: Record<string, unknown> };
  // The copy is named by its affinity, since a model's name is its folder's.
  const changed = { ...config, name: affinity, lame: { ...config.lame, affinity, k: 5, scope: 'request' } };
  await writeFile(file, stringify(changed));
}
