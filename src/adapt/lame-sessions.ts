import { InferenceSession, Tensor } from 'onnxruntime-node';
import { BallastError, messageOf } from '../errors.js';
import type { Provider } from '../runtime/providers.js';
import { threading } from '../runtime/session.js';
import type { AffinityMatrix } from './affinity.js';
import { fixedPointModel, gramModel } from './lame-graph.js';
import type { FeatureRows, Float, Precision } from './feature-rows.js';

/** Where the fixed point iteration ended. */
export interface FixedPoint {
  /** Z `[N, K]`, row-major. */
  readonly assignments: Float32Array;
  readonly iterations: number;
  readonly energy: number;
}

/** How the fixed point iteration runs. */
export interface FixedPointOptions {
  readonly lambda: number;
  readonly maxSteps: number;
  readonly providers: readonly Provider[];
}

/** What rounding does to the energy of one row. */
const FLOAT32_NOISE = 2 ** -24;

/**
 * Measured: up to this many products of a Gram matrix, and probabilities of a batch, one thread is quicker than
 * waking more.
 */
const SMALL_GRAM = 2 ** 22;
const SMALL_BATCH = 2 ** 13;

/** What sessions of the same graph may differ in. */
interface SessionKind {
  readonly precision: Precision;
  /** Threads that a run may use; as many as there are cores when undefined. */
  readonly threads: number | undefined;
  readonly providers: readonly Provider[];
}

/** There are at most twenty to a provider list; they stay, since making a session takes milliseconds. */
const sessions = new Map<string, Promise<InferenceSession>>();

/**
 * Rows `[start, start + count)` of the Gram matrix f fᵀ, as `[count, N]`.
 */
export async function computeGram(
  { data, rows, cols }: FeatureRows,
  start: number,
  count: number,
  providers: readonly Provider[],
): Promise<Float> {
  const precision = precisionOf(data);
  const threads = count * rows * cols <= SMALL_GRAM ? 1 : undefined;
  const session = await sessionFor('gram', { precision, threads, providers }, () => gramModel(precision));
  const part = floatTensor(data.subarray(start * cols, (start + count) * cols), [count, cols]);
  const { gram } = await session.run({ a: part, b: floatTensor(data, [rows, cols]) });
  return gram.data as Float;
}

/**
 * Updates the assignments until the energy settles.
 * @param probabilities - q `[N, K]`
 * @param affinity - W `[N, N]`, in the precision of q
 */
export async function runFixedPoint(
  probabilities: Float,
  affinity: AffinityMatrix,
  { lambda, maxSteps, providers }: FixedPointOptions,
): Promise<FixedPoint> {
  const precision = precisionOf(probabilities);
  const rows = rowsOf(affinity);
  const { form } = affinity;
  const pull = form === 'neighbours' && lambda !== 1 ? 'weighted-neighbours' : form;
  const threads = probabilities.length <= SMALL_BATCH ? 1 : undefined;
  const model = (): Uint8Array => fixedPointModel(pull, precision);
  const session = await sessionFor(pull, { precision, threads, providers }, model);
  const { assignments, iterations, energy } = await session.run({
    probabilities: floatTensor(probabilities, [rows, probabilities.length / rows]),
    ...pullInputs(affinity, rows, lambda, (value) => floatTensor(numberLike(probabilities, value), [])),
    max_steps: new Tensor('int64', BigInt64Array.of(BigInt(maxSteps)), []),
    noise: floatTensor(Float64Array.of(energyNoise(precision, rows)), []),
  });
  const values = assignments.data as Float;
  return {
    assignments: values instanceof Float32Array ? values : Float32Array.from(values),
    iterations: Number((iterations.data as BigInt64Array)[0]),
    energy: (energy.data as Float64Array)[0],
  };
}

/**
 * A move of the energy of N rows that rounding alone can make. Without it, float32 can go back and forth between two
 * neighbouring numbers until the last pass, since 1e-8 of the energy is less than that.
 */
export function energyNoise(precision: Precision, rows: number): number {
  return precision === 'float64' ? 0 : FLOAT32_NOISE * Math.sqrt(rows);
}

function rowsOf(affinity: AffinityMatrix): number {
  switch (affinity.form) {
    case 'neighbours':
      return affinity.indices.length / affinity.k;
    case 'gaussian':
      return Math.sqrt(affinity.closeness.length);
    case 'dense':
      return Math.sqrt(affinity.weights.length);
  }
}

/** What the graph is told of λ W; `scalar` makes a tensor in its precision. */
function pullInputs(
  affinity: AffinityMatrix,
  rows: number,
  lambda: number,
  scalar: (value: number) => Tensor,
): Record<string, Tensor> {
  switch (affinity.form) {
    case 'neighbours': {
      const neighbours = new Tensor('int32', affinity.indices, [affinity.k, rows]);
      return lambda === 1 ? { neighbours } : { neighbours, lambda: scalar(lambda) };
    }
    case 'gaussian':
      return {
        closeness: floatTensor(affinity.closeness, [rows, rows]),
        sharpness: scalar(1 / affinity.sigma ** 2),
        lambda: scalar(lambda),
      };
    case 'dense':
      return { weights: floatTensor(scaled(affinity.weights, lambda), [rows, rows]) };
  }
}

function numberLike(values: Float, value: number): Float {
  return values instanceof Float64Array ? Float64Array.of(value) : Float32Array.of(value);
}

function scaled(weights: Float, lambda: number): Float {
  return lambda === 1 ? weights : weights.map((weight: number) => weight * lambda);
}

function precisionOf(values: Float): Precision {
  return values instanceof Float64Array ? 'float64' : 'float32';
}

function floatTensor(values: Float, dims: readonly number[]): Tensor {
  return values instanceof Float64Array
    ? new Tensor('float64', values, dims)
    : new Tensor('float32', values, dims);
}

async function sessionFor(
  name: string,
  { precision, threads, providers }: SessionKind,
  model: () => Uint8Array,
): Promise<InferenceSession> {
  const key = [name, precision, threads, ...providers].join(' ');
  let session = sessions.get(key);
  if (session === undefined) {
    const options = { ...threading(threads), executionProviders: [...providers] };
    session = InferenceSession.create(model(), options);
    sessions.set(key, session);
  }
  try {
    return await session;
  } catch (error) {
    sessions.delete(key);
    throw new BallastError('unavailable', `LAME cannot run on ${providers.join(', ')}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
