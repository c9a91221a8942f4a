import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BallastError, messageOf } from '../errors.js';
import { LoadedModel, type ModelHost } from './loaded-model.js';
import { RequestCounter } from '../runtime/yielding.js';
import { readModelFile } from './model-file.js';
import { PromptJobs } from './prompt-jobs.js';
import type { Models, ModelStatus, ServedModel } from './serving.js';
import { StreamStore, type StreamLimits } from './streams.js';

/** How a registry is opened. */
export interface RegistryOptions extends Omit<ModelHost, 'streams' | 'jobs' | 'requests'> {
  /** The folder of model folders. */
  readonly directory: string;
  readonly streamLimits: StreamLimits;
}

/** Pause before a model is loaded again whose remote classifier, or provider, is not there. */
const LOAD_AGAIN_MS = 15_000;

/** A version of a model in the repository's folder. */
interface Entry {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
}

interface Slot {
  status: ModelStatus;
  model: LoadedModel | undefined;
  /** When it is tried again, where something is missing. */
  again: NodeJS.Timeout | undefined;
}

/**
 * The models of a folder: `<name>/model.yaml` is version 1 of a model, `<name>/<number>/model.yaml` that version.
 * A mistake in one of them never keeps another from serving.
 */
export class ModelRegistry implements Models {
  readonly streams: StreamStore;
  readonly jobs: PromptJobs;
  private readonly requests = new RequestCounter();
  private readonly slots = new Map<string, Map<string, Slot>>();
  private readonly changes = new Map<string, Promise<void>>();
  private readonly host: ModelHost;
  private closing = false;

  private constructor(private readonly options: RegistryOptions) {
    this.streams = new StreamStore(options.streamLimits);
    this.jobs = new PromptJobs(options.observer, options.log, this.requests);
    const { streams, jobs, requests } = this;
    this.host = { ...options, streams, jobs, requests };
  }

  /**
   * Loads every model of the folder; those that fail are listed as UNAVAILABLE with the reason.
   * @throws BallastError invalid-input where the folder cannot be read
   */
  static async open(options: RegistryOptions): Promise<ModelRegistry> {
    const registry = new ModelRegistry(options);
    const names = await modelNames(options.directory);
    await Promise.all(names.map((name) => registry.load(name).catch(() => undefined)));
    return registry;
  }

  get(name: string, version?: string): ServedModel {
    const slots = this.slots.get(name);
    if (slots === undefined) throw unknownModel(name, [...this.slots.keys()]);
    const slot = version === undefined ? newest(slots) : slots.get(version);
    if (slot === undefined) {
      throw new BallastError(
        'unknown-model',
        `Model "${name}" has no version "${version ?? ''}"; it has ${[...slots.keys()].join(', ')}.`,
      );
    }
    if (slot.model !== undefined) return slot.model;
    const { state, reason } = slot.status;
    throw new BallastError('unavailable', `Model "${name}" is not ready (${state}: ${reason}).`, {
      retryAfterSeconds: state === 'LOADING' ? 1 : 30,
    });
  }

  index(): ModelStatus[] {
    const all = [...this.slots.values()].flatMap((slots) => [...slots.values()].map(({ status }) => status));
    // Models are loaded side by side, so the order in which they came says nothing.
    return all.sort((a, b) => a.name.localeCompare(b.name) || Number(a.version) - Number(b.version));
  }

  /**
   * @throws BallastError unknown-model where there is no such folder; invalid-model where its files are wrong, in
   *   which case what served before serves on
   */
  load(name: string): Promise<void> {
    return this.change(name, async () => {
      const entries = await versionsOf(this.options.directory, name);
      if (entries.length === 0) throw unknownModel(name, await modelNames(this.options.directory));
      const slots = this.slots.get(name) ?? new Map<string, Slot>();
      this.slots.set(name, slots);
      const loads = await Promise.allSettled(entries.map((entry) => this.loadVersion(slots, entry)));
      const gone = [...slots.keys()].filter((version) => !entries.some((entry) => entry.version === version));
      for (const version of gone) {
        const { model } = slots.get(version)!;
        slots.delete(version);
        await model?.close();
      }
      const failed = loads.find((load) => load.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    });
  }

  /** @throws BallastError unknown-model */
  unload(name: string): Promise<void> {
    return this.change(name, async () => {
      const slots = this.slots.get(name);
      if (slots === undefined) throw unknownModel(name, [...this.slots.keys()]);
      const models = [...slots.values()].map((slot) => {
        const { model } = slot;
        slot.model = undefined;
        slot.status = { ...slot.status, state: 'UNAVAILABLE', reason: 'unloaded' };
        return model;
      });
      await Promise.all(models.map(async (model) => model?.close()));
    });
  }

  queueDepths(): Map<string, number> {
    const depths = new Map<string, number>();
    for (const [name, slots] of this.slots) {
      depths.set(
        name,
        [...slots.values()].reduce((sum, { model }) => sum + (model?.queueDepth ?? 0), 0),
      );
    }
    return depths;
  }

  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(this.changes.values());
    await this.jobs.close();
    const models = [...this.slots.values()].flatMap((slots) => [...slots.values()].map(({ model }) => model));
    await Promise.all(models.map(async (model) => model?.close()));
  }

  /** Loads and unloads of one model happen one after the other. */
  private change(name: string, work: () => Promise<void>): Promise<void> {
    if (this.closing) return Promise.reject(new BallastError('unavailable', 'The server is shutting down.'));
    const done = (this.changes.get(name) ?? Promise.resolve()).then(work);
    const settled = done.catch(() => undefined);
    this.changes.set(name, settled);
    void settled.then(() => {
      if (this.changes.get(name) === settled) this.changes.delete(name);
    });
    return done;
  }

  /** Tries again to load a version of which something is missing for the time being, such as its remote classifier. */
  private loadLater(slots: Map<string, Slot>, slot: Slot, entry: Entry): void {
    slot.again ??= setTimeout(() => {
      slot.again = undefined;
      this.change(entry.name, async () => {
        const { state, reason } = slot.status;
        if (slots.get(entry.version) !== slot || state !== 'UNAVAILABLE' || reason === 'unloaded') return;
        await this.loadVersion(slots, entry);
      }).catch(() => undefined);
    }, LOAD_AGAIN_MS).unref();
  }

  private async loadVersion(slots: Map<string, Slot>, entry: Entry): Promise<void> {
    const { name, version, folder } = entry;
    const before = slots.get(version);
    const slot: Slot = before ?? {
      model: undefined,
      again: undefined,
      status: { name, version, state: 'LOADING', reason: '' },
    };
    slots.set(version, slot);
    const known = slot.status.reason;
    if (slot.model === undefined) slot.status = { name, version, state: 'LOADING', reason: 'loading' };
    let model: LoadedModel;
    try {
      model = await LoadedModel.open(await readModelFile(folder, name, version), this.host);
    } catch (error) {
      const reason = messageOf(error);
      const level = reason === known ? 'debug' : 'error';
      this.options.log[level](
        { model: name, version, reason },
        `model ${name} version ${version} cannot be loaded`,
      );
      if (slot.model === undefined) slot.status = { name, version, state: 'UNAVAILABLE', reason };
      if (error instanceof BallastError && error.code === 'unavailable') this.loadLater(slots, slot, entry);
      throw error;
    }
    const old = slot.model;
    slot.model = model;
    slot.status = { name, version, state: 'READY', reason: '' };
    if (model.prompts !== undefined) await this.jobs.resume(model.prompts);
    if (old !== undefined) {
      await old.close();
      this.streams.forgetModel(`${name}/${version}`);
    }
  }
}

/** The highest version that is loaded, else the highest there is. */
function newest(slots: ReadonlyMap<string, Slot>): Slot | undefined {
  let best: Slot | undefined;
  for (const slot of slots.values()) if (best === undefined || comesBefore(slot, best)) best = slot;
  return best;
}

function comesBefore(slot: Slot, other: Slot): boolean {
  const isLoaded = slot.model !== undefined;
  if (isLoaded !== (other.model !== undefined)) return isLoaded;
  return Number(slot.status.version) > Number(other.status.version);
}

async function modelNames(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const folders = entries
      .filter((entry) => !entry.isFile() && !entry.name.startsWith('.'))
      .map(({ name }) => name);
    const versions = await Promise.all(folders.map((name) => versionsOf(directory, name)));
    return folders.filter((_, i) => versions[i].length > 0).sort();
  } catch (error) {
    throw new BallastError(
      'invalid-input',
      `The folder of models ${directory} cannot be read: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** The versions of a model that the folder holds; none where there is no model of that name. */
async function versionsOf(directory: string, name: string): Promise<Entry[]> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return [];
  const root = join(directory, name);
  const children = await readdir(root).catch(() => [] as string[]);
  const entries: Entry[] = children.includes('model.yaml') ? [{ name, version: '1', folder: root }] : [];
  for (const version of children.filter((child) => /^[1-9]\d*$/.test(child))) {
    const folder = join(root, version);
    const isModel = await stat(join(folder, 'model.yaml')).then(
      (file) => file.isFile(),
      () => false,
    );
    if (isModel && !entries.some((entry) => entry.version === version))
      entries.push({ name, version, folder });
  }
  return entries;
}

function unknownModel(name: string, known: readonly string[]): BallastError {
  const list = known.length === 0 ? 'no model is loaded' : `the models are ${[...known].sort().join(', ')}`;
  const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return new BallastError('unknown-model', `There is no model "${shown}"; ${list}.`);
}
