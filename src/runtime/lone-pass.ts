import { messageOf } from '../errors.js';
import { Ensemble, type EnsembleSpec } from './ensemble.js';
import type { ForwardPass } from './inference-workers.js';
import { ModelView } from './onnx/model-view.js';
import { readModel } from './onnx/read-model.js';
import { hasSteadyTime } from './onnx/steady-time.js';
import { refusedInput } from './session.js';
import type { TensorMap } from './tensor.js';
import { warmUp, type WarmPass, type WarmUp } from './warm-up.js';

/** A pass that takes longer would keep other requests waiting. */
const MOST_SECONDS = 0.002;
/** A pass that took longer than this did so on a busy machine. */
const SLOW_SECONDS = 0.005;
/** After a slow pass, or where requests come side by side, the workers get everything for so many milliseconds. */
const REST_MS = 100;

/**
 * A model in the main thread, for single samples that come while the server has nothing else to do. The way to a worker
 * and back takes a good part of the time of a small network (0.05 of 0.4 ms); a network that holds the thread for more
 * than 2 ms stays with the workers.
 */
export class LonePass {
  private running = false;
  private closed = false;
  private restsUntil = 0;

  private constructor(
    private readonly ensemble: Ensemble,
    private readonly sample: WarmPass,
  ) {}

  /**
   * Opens the model, if a worker found it fast enough.
   * @param sample - a pass of one sample, as the worker measured it; undefined where it could not
   * @returns undefined where the model would hold the thread for too long, or might for other numbers
   * @throws BallastError as Ensemble.open
   */
  static async open(
    spec: EnsembleSpec,
    warmth: WarmUp,
    sample: WarmPass | undefined,
  ): Promise<LonePass | undefined> {
    if (sample === undefined || sample.seconds > MOST_SECONDS) return undefined;
    // What is modulated goes one of two ways.
    if (spec.modulate !== undefined && spec.modulate.length > 0) return undefined;
    for (const { file } of [spec, ...spec.companions]) {
      const bytes = typeof file === 'string' ? await readModel(file) : file;
      if (!hasSteadyTime(new ModelView(bytes))) return undefined;
    }
    const ensemble = await Ensemble.open(spec);
    await warmUp(ensemble, { ...warmth, maxBatchSize: 1 });
    return new LonePass(ensemble, sample);
  }

  /**
   * Whether these inputs are run here and now: a single sample, of the size that was measured, that no other came beside
   * of late. A thread that takes requests as well answers several clients later than the workers do.
   * @param isAlone - whether no worker has anything to do
   */
  takes(inputs: TensorMap, isAlone: boolean): boolean {
    const now = performance.now();
    if (!isAlone || this.running) this.restsUntil = now + REST_MS;
    if (this.closed || now < this.restsUntil) return false;
    const tensors = Object.values(inputs);
    return tensors.reduce((sum, { data }) => sum + data.length, 0) <= this.sample.elements;
  }

  /**
   * Runs one sample; the main thread is held for as long as it takes.
   * @throws BallastError invalid-input with onnxruntime's reason
   */
  async run(inputs: TensorMap, fetches: readonly string[]): Promise<ForwardPass> {
    this.running = true;
    try {
      const begin = performance.now();
      const outputs = await this.ensemble.run(inputs, fetches);
      const end = performance.now();
      const seconds = (end - begin) / 1000;
      if (seconds > SLOW_SECONDS) this.restsUntil = end + REST_MS;
      return { outputs, seconds };
    } catch (error) {
      throw refusedInput(messageOf(error));
    } finally {
      this.running = false;
      if (this.closed) await this.ensemble.release();
    }
  }

  /** Frees the model, after the pass that runs. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (!this.running) await this.ensemble.release();
  }
}
