import type { BatchResult, RequestOptions } from '../pipeline/batch.js';
import type { LoadedModel } from '../pipeline/loaded-model.js';
import { stackRows, toMatrix } from '../runtime/matrix.js';
import type { Matrix, Tensor } from '../runtime/tensor.js';
import { quantile } from './metrics/bootstrap.js';

/** Samples in a request of a pass. */
const TOGETHER = 64;

/** What comes before LAME: whether the prompt is drawn and both classifiers are mixed. */
export interface Front {
  readonly smoothing: boolean;
  readonly prompt: boolean;
}

/** What the pipeline answers for each sample by itself: all that LAME needs to know. */
export interface ForwardPass {
  /** Of the standard classifier alone, `[N, K]`. */
  readonly base: Matrix;
  /** After mixing, `[N, K]`; undefined where nothing was mixed. */
  readonly mixed?: Matrix;
  /** Penultimate features `[N, D]`; undefined where the model has none. */
  readonly features?: Matrix;
  /** Weight of the robust classifier, `[N]`. */
  readonly alpha?: Float32Array;
  /** Certified radii, `[N]`. */
  readonly radius?: Float32Array;
}

/** A request's options for a front, with LAME switched off. */
export function optionsOf({ smoothing, prompt }: Front): RequestOptions {
  return { lame: false, smoothing, ...(prompt ? {} : { prompt: 'off' }) };
}

/**
 * Sends every sample through the served pipeline once, without LAME. No stage before LAME lets samples influence each
 * other, so that every order of arrival and every size of request can share these answers.
 * @param tensorOf - the model's input for the samples `[begin, end)`, in memory that may be handed over
 * @param count - N
 * @throws BallastError as LoadedModel.infer; the signal's reason
 */
export async function runForwardPass(
  model: LoadedModel,
  front: Front,
  count: number,
  tensorOf: (begin: number, end: number) => Tensor,
  { onSamples, signal }: { onSamples: (samples: number) => void; signal: AbortSignal },
): Promise<ForwardPass> {
  const [{ name: input }] = model.inputs;
  const { features } = model.tensors;
  const parts: BatchResult[] = [];
  for (let begin = 0; begin < count; begin += TOGETHER) {
    signal.throwIfAborted();
    const end = Math.min(count, begin + TOGETHER);
    const options = { ...optionsOf(front), ...(features !== undefined && { outputs: [features] }) };
    parts.push(await model.infer({ [input]: tensorOf(begin, end) }, options));
    onSamples(end - begin);
  }
  const alphas = parts.flatMap(({ alpha }) => (alpha === undefined ? [] : [...alpha]));
  const radii = parts.flatMap(({ certificates }) => (certificates ?? []).map((one) => one?.radius ?? 0));
  return {
    base: stackRows(parts.map(({ base }) => base!)),
    ...(front.smoothing && { mixed: stackRows(parts.map(({ probabilities }) => probabilities!)) }),
    ...(features !== undefined && {
      features: stackRows(
        parts.map(({ outputs }) => toMatrix(outputs[features], `The tensor "${features}"`)),
      ),
    }),
    ...(alphas.length > 0 && { alpha: Float32Array.from(alphas) }),
    ...(radii.length > 0 && { radius: Float32Array.from(radii) }),
  };
}

/** Requests that are not timed, since what runs first runs slower. */
const WARM_UP = 3;

/**
 * Milliseconds a sample of the pipeline up to LAME: the median of requests of `batch` samples, one after the other. Of a
 * machine that does something else as well a mean would tell more about that.
 */
export async function timeFront(
  model: LoadedModel,
  front: Front,
  batch: number,
  count: number,
  tensorOf: (begin: number, end: number) => Tensor,
  signal: AbortSignal,
): Promise<number> {
  const [{ name: input }] = model.inputs;
  const size = Math.min(batch, count);
  const requests = Math.max(3, Math.ceil(64 / size));
  const times: number[] = [];
  for (let request = -WARM_UP; request < requests; request++) {
    signal.throwIfAborted();
    const begin = (Math.max(0, request) * size) % (count - size + 1);
    const { timings } = await model.infer({ [input]: tensorOf(begin, begin + size) }, optionsOf(front));
    if (request >= 0) times.push(timings.total / size);
  }
  return quantile(
    times.sort((a, b) => a - b),
    0.5,
  );
}
