import { Batch } from '../pipeline/pipeline.js';
import type { LameConfig } from '../pipeline/model-config.js';
import { AdaptStage } from '../pipeline/stages/adapt.js';
import { StreamStore } from '../pipeline/streams.js';
import type { Matrix } from '../runtime/tensor.js';
import type { ForwardPass } from './forward-pass.js';
import { quantile } from './metrics/bootstrap.js';
import { rowsAt } from './rows-at.js';

/** What LAME made of an order of arrival. */
export interface Adapted {
  /** `[N, K]`, by sample, not by place. */
  readonly probabilities: Matrix;
  /** Milliseconds a sample that LAME took: the median of the requests, one after the other. */
  readonly msPerSample: number;
}

/**
 * Runs the pipeline's own LAME stage over answers that a forward pass gave, request by request in the order of arrival.
 * @param order - samples by place, `[N]`
 * @param batch - samples a request; 1 is a stream: one by one, each adapted with the window before it
 * @throws BallastError as AdaptStage.run; the signal's reason
 */
export async function adaptArrival(
  config: LameConfig,
  { base, mixed = base, features }: ForwardPass,
  order: Uint32Array,
  batch: number,
  { onSamples, signal }: { onSamples: (samples: number) => void; signal: AbortSignal },
): Promise<Adapted> {
  const streams = new StreamStore({ maxStreams: 1, maxBytes: 2 ** 31, maxIdleSeconds: 86_400 });
  const stage = new AdaptStage('evaluated', config, streams);
  const adapted = new Float32Array(mixed.data.length);
  const times: number[] = [];
  for (let begin = 0; begin < order.length; begin += batch) {
    signal.throwIfAborted();
    const samples = order.subarray(begin, begin + batch);
    const request = new Batch({
      count: samples.length,
      options: { lame: true, ...(batch === 1 && { stream: 'evaluated' }) },
      base: rowsAt(base, samples),
      probabilities: rowsAt(mixed, samples),
      features: features && rowsAt(features, samples),
    });
    const start = performance.now();
    await stage.run(request);
    times.push((performance.now() - start) / samples.length);
    const { data, cols } = request.probabilities!;
    samples.forEach((sample, row) => {
      adapted.set(data.subarray(row * cols, (row + 1) * cols), sample * cols);
    });
    onSamples(samples.length);
  }
  const msPerSample = quantile(
    times.sort((a, b) => a - b),
    0.5,
  );
  return { probabilities: { ...mixed, data: adapted }, msPerSample };
}
