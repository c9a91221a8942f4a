import { setImmediate as nextTurn } from 'node:timers/promises';
import { ClassDiversity } from '../adapt/class-diversity.js';
import { DriftWindow } from '../adapt/drift-window.js';
import type { DriftReference } from '../adapt/feature-drift.js';
import { messageOf } from '../errors.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import type { Matrix } from '../runtime/tensor.js';
import type { BatchResult, TrafficReading, TrafficSource } from './batch.js';
import { inTurns } from './turns.js';

/** Samples of one request that are looked at. */
const SAMPLES_A_REQUEST = 32;
/** Samples a second that are looked at in the long run; a busy server lets the others pass. */
const SAMPLES_A_SECOND = 256;
/** Samples that are looked at in one go, after a pause. */
const BURST = 1024;
/** Multiply-adds that take as long as what `inTurns` calls a cell. */
const OPERATIONS_A_CELL = 8;

interface Waiting {
  /** `[K]` */
  readonly probabilities: Float32Array;
  /** `[D]` */
  readonly features: Float32Array | undefined;
}

/**
 * Watches what a model is asked and answers: how diverse the classes are, and how far the features have drifted from
 * a reference. Requests only leave samples here; those are looked at in later turns of the event loop.
 */
export class TrafficMonitor implements TrafficSource {
  private diversity: ClassDiversity | undefined;
  private drift: DriftWindow | undefined;
  private waiting: Waiting[] = [];
  private working = false;
  /** How many samples may be looked at now, and when that was reckoned. */
  private budget = BURST;
  private reckonedAt: number;
  /** Which samples of a large request are looked at. */
  private readonly random = new SeededRandom(0);

  /**
   * @param name - of the model
   * @param version - of the model
   * @param reference - what traffic is compared with; undefined where model.yaml names none
   * @param log - told once where features do not fit the reference
   * @param now - milliseconds of a clock that never goes back
   */
  constructor(
    readonly name: string,
    readonly version: string,
    private readonly reference: DriftReference | undefined,
    private readonly log: { error(details: object, sentence: string): void },
    private readonly now: () => number = () => performance.now(),
  ) {
    this.reckonedAt = now();
    this.drift = reference && new DriftWindow(reference);
  }

  /**
   * Takes up to 32 samples of a request that was answered: one from each of 32 equal parts, as far as the 256 a
   * second go. Never throws and never waits.
   * @param result - probabilities `[N, K]` of the wrapped model alone, and its features `[N, D]`, where it has them
   */
  add({ base, features }: Pick<BatchResult, 'base' | 'features'>): void {
    if (base === undefined) return;
    const now = this.now();
    this.budget = Math.min(BURST, this.budget + ((now - this.reckonedAt) / 1000) * SAMPLES_A_SECOND);
    this.reckonedAt = now;
    const taken = Math.min(base.rows, SAMPLES_A_REQUEST, Math.floor(this.budget));
    this.budget -= taken;
    for (let i = 0; i < taken; i++) {
      const row = Math.floor(((i + this.random.uniform()) * base.rows) / taken);
      this.waiting.push({
        probabilities: rowOf(base, row),
        features: features && rowOf(features, row),
      });
    }
    if (!this.working && taken > 0) void this.work();
  }

  read(): TrafficReading {
    return { diversity: this.diversity?.value, drift: this.drift?.ratio };
  }

  private async work(): Promise<void> {
    this.working = true;
    try {
      while (this.waiting.length > 0) {
        await nextTurn();
        const samples = this.waiting;
        this.waiting = [];
        await inTurns(samples.length, this.cellsOf(samples[0]), (begin, end) => {
          for (const sample of samples.slice(begin, end)) this.look(sample);
        });
      }
    } catch (error) {
      this.waiting = [];
      this.log.error({ reason: messageOf(error) }, 'samples of the traffic could not be looked at');
    } finally {
      this.working = false;
    }
  }

  private look({ probabilities, features }: Waiting): void {
    if (this.diversity?.classes !== probabilities.length) {
      this.diversity = new ClassDiversity(probabilities.length);
    }
    this.diversity.add(probabilities);
    if (this.drift === undefined || this.reference === undefined) return;
    // Memory that was handed on to another thread since has no length.
    if (features === undefined || features.length === 0) return;
    if (features.length !== this.reference.features) {
      this.drift = undefined;
      this.log.error(
        { found: features.length, reference: this.reference.features },
        `the features have ${features.length} numbers a sample and the reference ${this.reference.features}: drift is not watched; make the reference anew`,
      );
      return;
    }
    this.drift.add(features);
  }

  private cellsOf({ probabilities, features }: Waiting): number {
    const operations = this.drift === undefined ? 0 : (features?.length ?? 0) * this.operationsAFeature;
    return Math.max(1, Math.ceil((probabilities.length + operations) / OPERATIONS_A_CELL));
  }

  private get operationsAFeature(): number {
    return (this.reference?.mean.length ?? 0) / 2;
  }
}

function rowOf({ data, cols }: Matrix, row: number): Float32Array {
  return data.subarray(row * cols, (row + 1) * cols);
}
