import { BallastError } from '../errors.js';
import type { Ensemble } from './ensemble.js';
import type { Tensor, TensorMap, TensorSpec } from './tensor.js';

/** How a model is warmed before it takes requests. */
export interface WarmUp {
  /** Batch sizes up to this one are run: 1, 2, 4, … */
  readonly maxBatchSize: number;
  /** Shape of one sample for inputs whose graph leaves it open; by input name. */
  readonly sampleShapes: Readonly<Record<string, readonly number[]>>;
  /** Inputs that have no row a sample, as they are given to every run. */
  readonly shared?: TensorMap;
  /** Milliseconds that it may take: no size is begun that is expected to end after them; BUDGET_MS where undefined. */
  readonly budgetMs: number | undefined;
}

/** A pass of one sample through a warm model. */
export interface WarmPass {
  readonly seconds: number;
  /** Numbers in all of its inputs. */
  readonly elements: number;
}

/**
 * On a CPU a cold pass takes longer by the first touch of its memory alone, a small part of a pass that is too long for
 * this budget. A GPU chooses kernels for each size, which takes seconds.
 */
const BUDGET_MS = { cpu: 100, gpu: 10_000 };

/** Passes of one sample of which the median is told. */
const TIMED_PASSES = 5;

/**
 * Runs the model on zeros, in batches of 1, 2, 4, … and `maxBatchSize`, so that the first requests do not pay for
 * memory arenas and kernel selection. A model that cannot run on zeros is left cold: its requests will say why.
 * @returns how long one sample takes; undefined where the model is left cold
 * @throws BallastError invalid-model where a companion cannot run on what the model answers
 */
export async function warmUp(
  ensemble: Ensemble,
  { maxBatchSize, sampleShapes, shared, budgetMs }: WarmUp,
): Promise<WarmPass | undefined> {
  const end = performance.now() + (budgetMs ?? BUDGET_MS[ensemble.provider === 'cpu' ? 'cpu' : 'gpu']);
  const inputs = (size: number): TensorMap | undefined => zeroInputs(ensemble, size, sampleShapes, shared);
  const run = async (batch: TensorMap): Promise<number> => {
    const begin = performance.now();
    await ensemble.run(batch, ensemble.fetchable);
    return (performance.now() - begin) / 1000;
  };
  try {
    let secondsBefore = 0;
    for (const size of batchSizes(maxBatchSize)) {
      const batch = inputs(size);
      if (batch === undefined) return undefined;
      if (performance.now() + 2 * secondsBefore * 1000 > end) break;
      secondsBefore = await run(batch);
    }
    const sample = inputs(1)!;
    const times: number[] = [];
    while (times.length < TIMED_PASSES && (times.length === 0 || performance.now() < end)) {
      times.push(await run(sample));
    }
    const elements = Object.values(sample).reduce((sum, { data }) => sum + data.length, 0);
    return { seconds: times.sort((a, b) => a - b)[times.length >> 1], elements };
  } catch (error) {
    if (error instanceof BallastError && error.code === 'invalid-model') throw error;
    return undefined;
  }
}

function zeroInputs(
  ensemble: Ensemble,
  size: number,
  sampleShapes: WarmUp['sampleShapes'],
  shared: TensorMap | undefined,
): TensorMap | undefined {
  const inputs: Record<string, Tensor> = { ...shared };
  for (const spec of ensemble.inputs) {
    const tensor = zeros(spec, size, sampleShapes[spec.name]);
    if (tensor === undefined) return undefined;
    inputs[spec.name] = tensor;
  }
  return inputs;
}

function batchSizes(max: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < max; size *= 2) sizes.push(size);
  return [...sizes, max];
}

function zeros(
  { type, dims }: TensorSpec,
  batch: number,
  sampleShape?: readonly number[],
): Tensor | undefined {
  const shape = sampleShape ?? dims.slice(1);
  if (shape.some((dim) => dim < 0)) return undefined;
  const size = shape.reduce((product, dim) => product * dim, batch);
  const full = [batch, ...shape];
  switch (type) {
    case 'float32':
    case 'float16':
      return { type: 'float32', dims: full, data: new Float32Array(size) };
    case 'float64':
      return { type, dims: full, data: new Float64Array(size) };
    case 'int64':
      return { type, dims: full, data: new BigInt64Array(size) };
    case 'int32':
      return { type, dims: full, data: new Int32Array(size) };
    case 'uint8':
      return { type, dims: full, data: new Uint8Array(size) };
    default:
      return undefined;
  }
}
