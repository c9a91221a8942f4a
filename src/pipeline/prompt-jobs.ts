import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { splitShots, type FitPromptOptions, type FitState, type Shots } from '../adapt/fit-prompt.js';
import { BallastError, messageOf } from '../errors.js';
import { Lanes } from '../runtime/lanes.js';
import type { RequestCounter } from '../runtime/yielding.js';
import { writeAtomically } from '../runtime/write-atomically.js';
import type { PipelineObserver } from './batch.js';
import { hasEnded, type Job, type Jobs } from './jobs.js';
import { keepPrompt, type PromptOwner } from './keep-prompt.js';
import { fitInThread } from './prompt-fit-thread.js';
import { removeFitFiles, writeShots, type PromptFitSpec } from './prompt-fit.js';

/** A model that prompts can be fitted for. */
export interface FittableModel extends PromptOwner {
  readonly name: string;
  readonly version: string;
  /** Where model.yaml is. */
  readonly folder: string;
  /** What a thread needs to fit a prompt for it. */
  fitSpec(options: FitPromptOptions, folder: string): PromptFitSpec;
}

/** A job as its folder keeps it. */
interface KeptJob {
  job: Job;
  readonly options: FitPromptOptions;
  /** Numbers of the classes among the shots. */
  readonly classes: readonly number[];
}

interface Running extends KeptJob {
  readonly model: FittableModel;
  readonly abort: AbortController;
}

/** A job outlasts so many outages of a remote classifier, the first pause before it goes on, and twice that each time. */
const OUTAGES = 4;
const FIRST_OUTAGE_MS = 2000;
/** Jobs of a model that are remembered after their end. */
const MOST_ENDED = 50;

/**
 * Jobs that fit prompts, one at a time. Each has a folder `prompts/jobs/<id>` with what it needs to go on after the
 * server's end, however that came.
 */
export class PromptJobs implements Jobs {
  private readonly jobs = new Map<string, Running>();
  /** The models as they serve now, by name and version: one may be loaded anew while a job of its runs. */
  private readonly models = new Map<string, FittableModel>();
  private readonly lane = new Lanes(1);
  private readonly runs = new Set<Promise<void>>();
  private readonly events = new EventEmitter().setMaxListeners(0);
  private closing = false;

  constructor(
    private readonly observer: PipelineObserver,
    private readonly log: Logger,
    /** Requests that jobs give way to. */
    private readonly requests: RequestCounter,
  ) {}

  list(): Job[] {
    return [...this.jobs.values()]
      .map(({ job }) => job)
      .sort((one, other) => (one.created < other.created ? 1 : -1));
  }

  get(id: string): Job {
    return this.find(id).job;
  }

  watch(id: string, listener: (job: Job) => void): () => void {
    this.events.on(id, listener);
    return () => this.events.off(id, listener);
  }

  /**
   * Starts a job.
   * @throws BallastError conflict where the model has one already; invalid-input where the shots are too few; as
   *   writeAtomically
   */
  async start(model: FittableModel, shots: Shots, options: FitPromptOptions): Promise<Job> {
    const other = [...this.jobs.values()].find(({ job }) => job.model === model.name && !hasEnded(job));
    if (other !== undefined) {
      throw new BallastError(
        'conflict',
        `Model "${model.name}" has the job ${other.job.id} already; wait for its end, or cancel it (DELETE /v1/jobs/${other.job.id}).`,
      );
    }
    splitShots(shots, options.validation, options.seed);
    const job: Job = {
      id: randomUUID(),
      kind: 'prompt',
      model: model.name,
      version: model.version,
      state: 'queued',
      created: new Date().toISOString(),
      pictures: shots.labels.length,
    };
    const classes = [...new Set(shots.labels)].sort((a, b) => a - b);
    const running: Running = { model, job, options, classes, abort: new AbortController() };
    this.jobs.set(job.id, running);
    try {
      await writeShots(folderOf(model, job.id), shots);
      await this.keep(model, running);
    } catch (error) {
      this.jobs.delete(job.id);
      await rm(folderOf(model, job.id), { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
    this.begin(model, running);
    return job;
  }

  /** Takes up the jobs of a model that was loaded: those that had not ended go on, the others are remembered. */
  async resume(model: FittableModel): Promise<void> {
    this.models.set(`${model.name}/${model.version}`, model);
    const folder = join(model.folder, 'prompts', 'jobs');
    const ids = await readdir(folder).catch(() => [] as string[]);
    for (const id of ids.filter((name) => !this.jobs.has(name))) {
      const text = await readFile(join(folder, id, 'job.json'), 'utf8').catch(() => undefined);
      if (text === undefined) {
        // Its shots were not all written when the server ended, so nobody was told of it.
        await rm(join(folder, id), { recursive: true, force: true });
        continue;
      }
      const kept = readJob(text);
      if (kept === undefined) {
        this.log.error({ model: model.name, job: id }, `job ${id} is forgotten: its job.json is damaged`);
        continue;
      }
      const running: Running = { model, ...kept, abort: new AbortController() };
      this.jobs.set(id, running);
      if (hasEnded(running.job)) continue;
      this.log.info({ model: model.name, job: id }, `job ${id} goes on`);
      this.begin(model, running);
    }
    await this.forgetOldest(model);
  }

  async cancel(id: string): Promise<Job> {
    const running = this.find(id);
    if (running.job.state === 'queued') {
      running.abort.abort();
      await this.change(running.model, running, { state: 'cancelled', finished: new Date().toISOString() });
      await this.clear(running);
    } else if (!hasEnded(running.job)) {
      const ended = new Promise<void>((resolve) => {
        const unwatch = this.watch(id, (job) => {
          if (!hasEnded(job)) return;
          unwatch();
          resolve();
        });
      });
      running.abort.abort(new BallastError('conflict', 'The job was cancelled.'));
      await ended;
    }
    return running.job;
  }

  /** Ends the threads; jobs under way go on at the next start. */
  async close(): Promise<void> {
    this.closing = true;
    for (const { abort } of this.jobs.values()) abort.abort(new Error('The server ends.'));
    await Promise.all(this.runs);
  }

  private begin(model: FittableModel, running: Running): void {
    const run = this.run(model, running).finally(() => this.runs.delete(run));
    this.runs.add(run);
  }

  private async run(model: FittableModel, running: Running): Promise<void> {
    const {
      job: { id },
      abort: { signal },
    } = running;
    const folder = folderOf(model, id);
    try {
      const state = await this.lane.run(async () => {
        signal.throwIfAborted();
        await this.change(model, running, { state: 'running' });
        return this.fitThroughOutages(model, running, folder);
      });
      const { name, version } = model;
      const now = this.models.get(`${name}/${version}`) ?? model;
      const result = await keepPrompt(now, { ...running, pictures: running.job.pictures }, state);
      await this.change(model, running, { state: 'succeeded', finished: new Date().toISOString(), result });
      this.log.info({ model: model.name, job: id, ...result }, `job ${id}: ${result.verdict}`);
    } catch (error) {
      // Cancelled while it waited for its turn: all is done.
      if (this.closing || hasEnded(running.job)) return;
      const cancelled = signal.aborted;
      const code = error instanceof BallastError ? error.code : 'internal';
      const failure = { code, detail: messageOf(error) };
      await this.change(model, running, {
        state: cancelled ? 'cancelled' : 'failed',
        finished: new Date().toISOString(),
        ...(!cancelled && { error: failure }),
      });
      if (!cancelled) this.log.error({ model: model.name, job: id, error: failure }, `job ${id} failed`);
    }
    await this.clear(running);
  }

  /** Forgets what an ended job needed, and the oldest job where there are many. */
  private async clear({ model, job }: Running): Promise<void> {
    await removeFitFiles(folderOf(model, job.id)).catch(() => undefined);
    await this.forgetOldest(model);
  }

  /** Goes on from the last checkpoint where a remote classifier was away for a while. */
  private async fitThroughOutages(model: FittableModel, running: Running, folder: string): Promise<FitState> {
    const { signal } = running.abort;
    for (let outages = 0; ; outages++) {
      try {
        return await this.fit(model, running, folder);
      } catch (error) {
        const isOutage = error instanceof BallastError && error.code === 'unavailable';
        if (!isOutage || outages === OUTAGES || signal.aborted) throw error;
        this.log.warn({ job: running.job.id, reason: error.message }, 'a job waits to go on');
        await sleep(FIRST_OUTAGE_MS * 2 ** outages, undefined, { signal });
      }
    }
  }

  private fit(model: FittableModel, running: Running, folder: string): Promise<FitState> {
    const { options, abort, job } = running;
    const begin = performance.now();
    let firstStep: number | undefined;
    return fitInThread(model.fitSpec(options, folder), this.requests, {
      signal: abort.signal,
      onQueries: (pictures) => {
        this.observer.promptQueries(model.name, 'fit', pictures);
      },
      onProgress: (progress) => {
        firstStep ??= progress.step - 1;
        const aStep = (performance.now() - begin) / 1000 / (progress.step - firstStep);
        const secondsLeft = Math.round((progress.steps - progress.step) * aStep);
        running.job = { ...running.job, progress: { ...progress, secondsLeft } };
        this.events.emit(job.id, running.job);
      },
    });
  }

  private async change(model: FittableModel, running: Running, changes: Partial<Job>): Promise<void> {
    running.job = { ...running.job, ...changes };
    await this.keep(model, running).catch((error: unknown) => {
      this.log.error({ job: running.job.id, error: messageOf(error) }, 'a job cannot be kept on disk');
    });
    this.events.emit(running.job.id, running.job);
  }

  private async keep(model: FittableModel, { job, options, classes }: KeptJob): Promise<void> {
    const text = JSON.stringify({ job, options, classes } satisfies KeptJob);
    await writeAtomically(join(folderOf(model, job.id), 'job.json'), text);
  }

  private async forgetOldest({ name, folder }: FittableModel): Promise<void> {
    const ended = this.list().filter((job) => job.model === name && hasEnded(job));
    for (const { id } of ended.slice(MOST_ENDED)) {
      this.jobs.delete(id);
      await rm(join(folder, 'prompts', 'jobs', id), { recursive: true, force: true });
    }
  }

  private find(id: string): Running {
    const running = this.jobs.get(id);
    if (running !== undefined) return running;
    throw new BallastError('not-found', `There is no job ${JSON.stringify(id.slice(0, 64))}.`);
  }
}

function folderOf({ folder }: Pick<FittableModel, 'folder'>, id: string): string {
  return join(folder, 'prompts', 'jobs', id);
}

/** Undefined where the text is none that `keep` wrote. */
function readJob(text: string): KeptJob | undefined {
  try {
    const kept = JSON.parse(text) as Partial<KeptJob> | null;
    return kept?.job && kept.options && kept.classes ? (kept as KeptJob) : undefined;
  } catch {
    return undefined;
  }
}
