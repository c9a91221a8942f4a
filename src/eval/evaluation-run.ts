import { availableParallelism } from 'node:os';
import type { Tensor } from '../runtime/tensor.js';
import { packageVersion } from '../server/version.js';
import { adaptArrival } from './adapt-arrival.js';
import { cellsOf, type Answered } from './cell-metrics.js';
import { CellStore, type FinishedCell } from './cell-store.js';
import { CorruptionThreads } from './corruption-threads.js';
import { scaleFor } from './corruptions/corruption.js';
import type { EvaluatedModel } from './evaluated-model.js';
import { runForwardPass, timeFront, type ForwardPass, type Front } from './forward-pass.js';
import type { Method } from './method.js';
import type { EvalOptions } from './options.js';
import { outcomeOf } from './outcome.js';
import type { DecodedPictures, LevelDecoder } from './pictures.js';
import {
  CORRUPTION_UNITS,
  frontOf,
  keyOf,
  passOf,
  settingsOf,
  unitsOfLame,
  unitsOfPass,
  unitsOfSetting,
  worksOf,
  type Setting,
  type Work,
} from './plan.js';
import type { EvalProgress } from './progress.js';
import type { Cell } from './report-schema.js';
import { conditionsInTurn } from './streams.js';

/** What is measured. */
export interface EvaluationParts {
  readonly model: EvaluatedModel;
  readonly pictures: DecodedPictures;
  readonly decoder: LevelDecoder;
  /** The base model first. */
  readonly methods: readonly Method[];
  readonly options: EvalOptions;
}

interface RunHost {
  readonly progress: EvalProgress;
  readonly signal: AbortSignal;
}

/** One run over all cells, from the forward passes to the numbers. */
export class EvaluationRun {
  private readonly settings: readonly Setting[];

  private constructor(
    private readonly parts: EvaluationParts,
    private readonly host: RunHost,
    private readonly store: CellStore,
  ) {
    const { options, pictures } = parts;
    this.settings = settingsOf(options.conditions, options.streams, pictures.labels, options.seed);
  }

  /** @throws BallastError as CellStore.open */
  static async open(parts: EvaluationParts, host: RunHost): Promise<EvaluationRun> {
    const { model, pictures, options } = parts;
    const basis = { version: packageVersion, model: model.digest, data: pictures.digest, seed: options.seed };
    return new EvaluationRun(parts, host, await CellStore.open(options.out, basis));
  }

  /**
   * Does what is not done yet, condition by condition, and works out every cell.
   * @throws BallastError as LoadedModel.infer and CellStore.put; the signal's reason
   */
  async measure(): Promise<Cell[]> {
    const threads = new CorruptionThreads(availableParallelism());
    try {
      this.host.progress.begin(
        this.settings.reduce(
          (sum, setting) =>
            sum + unitsOfSetting(setting, this.openOf(setting), this.parts.pictures.labels.length),
          0,
        ),
      );
      await this.measureTimes();
      for (const setting of this.settings) await this.measureSetting(setting, threads);
    } finally {
      await threads.close();
    }
    const cells: Cell[] = [];
    for (const setting of this.settings) cells.push(...(await this.cellsOfSetting(setting)));
    return cells;
  }

  private async measureTimes(): Promise<void> {
    const { model, pictures, decoder, methods, options } = this.parts;
    const { levels } = pictures;
    const fronts = new Map(methods.map((method) => [keyOf(frontOf(method)), frontOf(method)] as const));
    for (const front of fronts.values()) {
      for (const batch of options.batches) {
        if (this.store.get(timeOf(front, batch)) !== undefined) continue;
        const tensorOf = (begin: number, end: number): Tensor => decoder.tensor(levels.slice(begin, end));
        const { signal } = this.host;
        const ms = await timeFront(model.served, front, batch, levels.length, tensorOf, signal);
        await this.store.put(timeOf(front, batch), { msPerSample: ms });
      }
    }
  }

  private async measureSetting(setting: Setting, threads: CorruptionThreads): Promise<void> {
    const open = this.openOf(setting);
    if (open.length === 0) return;
    const levels = await this.levelsOf(setting, threads);
    const passes = new Map<string, ForwardPass>();
    for (const work of open) {
      const front = passOf(work, open);
      const pass = passes.get(keyOf(front)) ?? (await this.pass(front, levels, setting.name));
      passes.set(keyOf(front), pass);
      const { base, features } = pass;
      const own = frontOf(work.method).smoothing ? pass : { base, ...(features && { features }) };
      await this.store.put(work.what, await this.finish(work, own, setting.name));
    }
  }

  private pass(front: Front, levels: readonly Uint8Array[], name: string): Promise<ForwardPass> {
    const { model, decoder } = this.parts;
    const onSamples = (samples: number): void => {
      this.host.progress.advance(samples * unitsOfPass(front), `${name}: forward pass`);
    };
    const tensorOf = (begin: number, end: number): Tensor => decoder.tensor(levels.slice(begin, end));
    const watched = { onSamples, signal: this.host.signal };
    return runForwardPass(model.served, front, levels.length, tensorOf, watched);
  }

  private async finish(
    { method, stream, batch }: Work,
    pass: ForwardPass,
    name: string,
  ): Promise<FinishedCell> {
    const { model, pictures } = this.parts;
    const { alpha, radius, base, mixed } = pass;
    const beside = { ...(alpha && { alpha }), ...(radius && { radius }) };
    if (stream === undefined) return { outcome: outcomeOf(mixed ?? base, pictures.labels, beside) };
    const config = method.parts.includes('lame-auto') ? model.lameAuto! : model.lame;
    const { order } = stream.arrival;
    const onSamples = (samples: number): void => {
      this.host.progress.advance(
        samples * unitsOfLame(batch),
        `${name}, ${stream.stream.name}: ${method.name}`,
      );
    };
    const watched = { onSamples, signal: this.host.signal };
    const { probabilities, msPerSample } = await adaptArrival(config, pass, order, batch, watched);
    // A certificate is for one input alone: of answers that LAME changed there is none.
    const own = outcomeOf(probabilities, pictures.labels, { ...(alpha && { alpha }) });
    const before = outcomeOf(mixed ?? base, pictures.labels);
    const kept = radius?.map((value, i) => (own.predicted[i] === before.predicted[i] ? value : 0));
    return { outcome: { ...own, ...(kept && { radius: kept }) }, msPerSample };
  }

  /** The pictures of a setting, as the model's levels. */
  private async levelsOf(
    { conditions, streams }: Setting,
    threads: CorruptionThreads,
  ): Promise<readonly Uint8Array[]> {
    const { pictures, decoder, options } = this.parts;
    const turn = conditions.length > 1 ? conditionsInTurn(streams[0].arrival, conditions.length) : undefined;
    const levels = [...pictures.levels];
    for (const [i, { name, corruption }] of conditions.entries()) {
      if (corruption === undefined) continue;
      const chosen = [...levels.keys()].filter((sample) => (turn?.[sample] ?? i) === i);
      const { width, height } = pictures.pictures[0];
      const corrupted = threads.corruptMany(
        chosen.map((sample) => pictures.pictures[sample]),
        corruption.name,
        corruption.severity,
        { seed: options.seed, scale: scaleFor(width, height) },
      );
      let next = 0;
      for await (const picture of corrupted) {
        this.host.signal.throwIfAborted();
        levels[chosen[next++]] = await decoder.levels(picture);
        this.host.progress.advance(CORRUPTION_UNITS, `${name}: corrupting`);
      }
    }
    return levels;
  }

  private async cellsOfSetting(setting: Setting): Promise<Cell[]> {
    const { pictures, options, model } = this.parts;
    const cells: Cell[] = [];
    for (const { stream, arrival } of setting.streams) {
      for (const batch of options.batches) {
        this.host.signal.throwIfAborted();
        const works = this.worksOf(setting).filter(
          (work) =>
            work.stream === undefined || (work.stream.stream.name === stream.name && work.batch === batch),
        );
        const answers = works.map(({ what, method }): Answered => {
          const { outcome, msPerSample = 0 } = this.store.get(what)!;
          const before = this.store.get(timeOf(frontOf(method), batch))!.msPerSample!;
          return { method: method.name, outcome: outcome!, msPerSample: before + msPerSample };
        });
        const group = {
          ...{ condition: setting.name, stream: stream.name, batch, arrival },
          ...{ labels: pictures.labels, classes: model.served.labels.length, seed: options.seed },
        };
        cells.push(...(await cellsOf(group, answers)));
      }
    }
    return cells;
  }

  private worksOf(setting: Setting): Work[] {
    return worksOf(setting, this.parts.methods, this.parts.options.batches);
  }

  /** What is not done yet. */
  private openOf(setting: Setting): Work[] {
    return this.worksOf(setting).filter(({ what }) => this.store.get(what) === undefined);
  }
}

/** The key of a measurement of time. */
function timeOf(front: Front, batch: number): unknown {
  return { time: front, batch };
}
