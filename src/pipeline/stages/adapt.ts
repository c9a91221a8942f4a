import { AUTO_HISTORY, planWindows, type AdaptedWindow } from '../../adapt/auto-window.js';
import { lame } from '../../adapt/lame.js';
import { BallastError } from '../../errors.js';
import { argmax, rowsBetween, stackRows } from '../../runtime/matrix.js';
import type { Matrix } from '../../runtime/tensor.js';
import type { LameConfig } from '../model-config.js';
import type { RequestOptions } from '../batch.js';
import type { Batch, Stage } from '../pipeline.js';
import { lastRows, type Samples, type StreamStore } from '../streams.js';

/** LAME compares every sample with every other, so its cost grows with the square of their number. */
export const MAX_LAME_SAMPLES = 4096;

/** Corrects the probabilities of a request, or of a stream's newest samples, by LAME. */
export class AdaptStage implements Stage {
  readonly name = 'lame';
  readonly mixesSamples = true;

  /**
   * @param model - name and version, under which the windows of its streams are kept
   * @param config - as model.yaml says
   * @param streams - windows of the streams
   */
  constructor(
    private readonly model: string,
    private readonly config: LameConfig,
    private readonly streams: StreamStore,
  ) {}

  /** Whether a request's answers are adapted. */
  adapts({ lame: asked, stream }: RequestOptions): boolean {
    const { scope } = this.config;
    return asked ?? (scope === 'request' || (scope === 'stream' && stream !== undefined));
  }

  /**
   * Does nothing where neither model.yaml nor the request ask for LAME.
   * @throws BallastError impossible where the model has no features, or too many samples are to be adapted together
   */
  async run(batch: Batch): Promise<void> {
    const { stream } = batch.options;
    if (!this.adapts(batch.options) || batch.probabilities === undefined) return;
    if (batch.features === undefined) {
      throw new BallastError(
        'impossible',
        `Model "${this.model}" serves without features, so LAME cannot adapt it; name their tensor as classifier.features in model.yaml.`,
      );
    }
    const samples = { features: batch.features, probabilities: batch.probabilities };
    if (stream === undefined) await this.adapt(batch, samples, 'request');
    else await this.adaptStream(batch, samples, stream);
  }

  private async adaptStream(batch: Batch, samples: Samples, stream: string): Promise<void> {
    const before = this.streams.read(stream, this.model);
    // A model that was loaded anew may have features of another size, which its old windows do not fit.
    const fits =
      before?.features.cols === samples.features.cols &&
      before.probabilities.cols === samples.probabilities.cols;
    const together = before !== undefined && fits ? stack(before, samples) : samples;
    await this.adapt(batch, together, 'stream');
    const { window } = this.config;
    this.streams.write(stream, this.model, together, window === 'auto' ? AUTO_HISTORY : window);
  }

  /** Adapts all samples together and keeps the answers of the batch's own, which are the last. */
  private async adapt(batch: Batch, samples: Samples, scope: 'request' | 'stream'): Promise<void> {
    const { rows } = samples.features;
    if (rows > MAX_LAME_SAMPLES) {
      throw new BallastError(
        'impossible',
        `LAME would adapt ${rows} samples together, and takes ${MAX_LAME_SAMPLES} at most; send fewer a request, or lame=off.`,
      );
    }
    if (this.config.window === 'auto') {
      await this.adaptInRuns(batch, samples, scope);
      return;
    }
    if (rows === 1) {
      batch.lame = { scope, samples: 1, iterations: 0, changed: 0 };
      return;
    }
    const { probabilities, iterations } = await lame(samples.probabilities, samples.features, this.config);
    const changed = replace(batch, lastRows(probabilities, batch.count));
    batch.lame = { scope, samples: rows, iterations, changed };
  }

  /** Adapts each run of samples by itself, as far as it is the batch's own, and leaves the others as they are. */
  private async adaptInRuns(batch: Batch, samples: Samples, scope: 'request' | 'stream'): Promise<void> {
    const { rows, cols } = samples.probabilities;
    const { windows, decision, window } = await planWindows(samples.probabilities, {
      own: batch.count,
      k: this.config.k,
    });
    const before = rows - batch.count;
    const own = lastRows(samples.probabilities, batch.count);
    let iterations = 0;
    for (const { begin, from, end } of windows) {
      const adapted = await this.adaptWindow(samples, { begin, from, end });
      own.data.set(adapted.kept.data, (from - before) * cols);
      iterations = Math.max(iterations, adapted.iterations);
    }
    const changed = windows.length === 0 ? 0 : replace(batch, own);
    batch.lame = {
      ...{ scope, samples: rows, iterations, changed },
      window: Math.round(window * 100) / 100,
      decision,
    };
  }

  private async adaptWindow(
    { probabilities, features }: Samples,
    { begin, from, end }: AdaptedWindow,
  ): Promise<{ kept: Matrix; iterations: number }> {
    const together = await lame(
      rowsBetween(probabilities, begin, end),
      rowsBetween(features, begin, end),
      this.config,
    );
    return { kept: lastRows(together.probabilities, end - from), iterations: together.iterations };
  }
}

/** Puts adapted probabilities into a batch; returns how many samples have another class than before. */
function replace(batch: Batch, adapted: Matrix): number {
  const before = batch.probabilities!;
  let changed = 0;
  for (let row = 0; row < adapted.rows; row++) {
    if (argmax(before, row) === argmax(adapted, row)) continue;
    changed++;
    // A certificate is for one input alone, and this answer depends on others.
    if (batch.certificates) batch.certificates[row] = undefined;
  }
  batch.probabilities = adapted;
  return changed;
}

/** Starts LAME's thread and compiles its graphs, so that the first request does not wait for them. */
export async function warmLame(config: LameConfig): Promise<void> {
  const probabilities = { data: new Float32Array(4).fill(0.5), rows: 2, cols: 2 };
  await lame(probabilities, probabilities, config);
}

function stack(before: Samples, after: Samples): Samples {
  return {
    features: stackRows([before.features, after.features]),
    probabilities: stackRows([before.probabilities, after.probabilities]),
  };
}
