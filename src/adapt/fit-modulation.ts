import { BallastError } from '../errors.js';
import type { Matrix, Tensor, TensorMap } from '../runtime/tensor.js';
import {
  scores,
  splitShots,
  type FitProgress,
  type FitPromptOptions,
  type FitState,
  type Score,
} from './fit-prompt.js';
import { descend, queriesOfStep, stepsWithin } from './descend.js';
import type { ModulatedLayer } from './modulation.js';
import { takeSamples } from './samples.js';
import { SpsaGc } from './spsa-gc.js';

/** What scales and shifts are fitted to. */
export interface FitModulationInput {
  /** The layers that may be changed. */
  readonly layers: readonly ModulatedLayer[];
  /** Samples by graph input, N of each; zeros for what is missing. */
  readonly samples: TensorMap;
  /** One a sample. */
  readonly labels: Uint32Array;
  /** Runs the modulated network: its inputs, with gamma and beta, to logits `[N, K]`. */
  readonly classify: (inputs: TensorMap) => Promise<Matrix>;
  readonly options: FitPromptOptions;
  readonly onProgress?: (progress: FitProgress) => void;
}

/** Numbers in the inputs of one pass, at most. */
const MOST_FLOATS = 2 ** 22;

/**
 * Learns one set of scales and shifts by SPSA-GC, through forward passes alone: for networks that nobody can
 * differentiate. It begins at the identity, scales of 1 and shifts of 0.
 * @returns where the fit ended; `best.parameters` are all layers' scales, then all their shifts, in the order of
 *   `layers`
 * @throws BallastError invalid-input where samples or budget are too few; whatever `classify` throws
 */
export async function fitModulation(input: FitModulationInput): Promise<Omit<FitState, 'statistics'>> {
  const { layers, samples, labels, classify, options, onProgress } = input;
  const { training, validation } = splitShots({ labels }, options.validation, options.seed);
  const width = layers.reduce((sum, { channels }) => sum + channels, 0);
  const start = new Float64Array(2 * width).fill(1, 0, width);
  const spsa = new SpsaGc(start, options);
  const aStep = queriesOfStep(options, training);
  const aLook = validation.length;
  if (options.queries < aStep + 2 * aLook) {
    throw new BallastError(
      'invalid-input',
      `A budget of ${options.queries} queries is too small: one step asks ${aStep}, and each look at the validation share ${aLook}.`,
    );
  }
  const size = Object.values(samples).reduce((sum, { data, dims }) => sum + data.length / dims[0], 0);

  const evaluate = async (candidates: readonly Float64Array[], indices: Uint32Array): Promise<Score[]> => {
    const part = Object.entries(samples).map(
      ([name, tensor]) => [name, takeSamples(tensor, indices)] as const,
    );
    const own = indices.map((index) => labels[index]);
    const together = Math.max(1, Math.floor(MOST_FLOATS / (size * indices.length)));
    const found: Score[] = [];
    for (let begin = 0; begin < candidates.length; begin += together) {
      const some = candidates.slice(begin, begin + together);
      const repeated = part.map(([name, tensor]) => [name, repeat(tensor, some.length)] as const);
      const inputs = { ...Object.fromEntries(repeated), ...modulationRows(layers, some, indices.length) };
      found.push(...scores(await classify(inputs), own));
    }
    return found;
  };

  const [base] = await evaluate([start], validation);
  const { best, queries } = await descend({
    ...{ spsa, options, training, validation, base, evaluate, onProgress },
    best: { ...base, step: 0, parameters: start },
    queries: aLook,
    total: stepsWithin(options, training, validation, 2),
  });
  return { spsa: spsa.state, base, best, queries };
}

/** The scales and shifts of a fit, by layer. */
export function modulationOfParameters(
  layers: readonly ModulatedLayer[],
  parameters: Float64Array,
): Map<string, { gamma: Float32Array; beta: Float32Array }> {
  const width = parameters.length / 2;
  let at = 0;
  return new Map(
    layers.map(({ name, channels }) => {
      const [begin, end] = [at, (at += channels)];
      const gamma = Float32Array.from(parameters.subarray(begin, end));
      const beta = Float32Array.from(parameters.subarray(width + begin, width + end));
      return [name, { gamma, beta }];
    }),
  );
}

/** For V candidates and N samples each: gamma and beta `[V·N, channels]` of every layer. */
function modulationRows(
  layers: readonly ModulatedLayer[],
  candidates: readonly Float64Array[],
  count: number,
): Record<string, Tensor> {
  const sets = candidates.map((parameters) => modulationOfParameters(layers, parameters));
  const inputs: Record<string, Tensor> = {};
  for (const { name, channels, gamma, beta } of layers) {
    const dims = [candidates.length * count, channels];
    const rows = (kind: 'gamma' | 'beta'): Tensor => {
      const data = new Float32Array(dims[0] * channels);
      sets.forEach((set, candidate) => {
        const own = set.get(name)![kind];
        for (let row = 0; row < count; row++) data.set(own, (candidate * count + row) * channels);
      });
      return { type: 'float32', dims, data };
    };
    inputs[gamma] = rows('gamma');
    inputs[beta] = rows('beta');
  }
  return inputs;
}

/** The same samples again and again. */
function repeat(tensor: Tensor, times: number): Tensor {
  const own = tensor.data as Float32Array;
  const data = new Float32Array(times * own.length);
  for (let i = 0; i < times; i++) data.set(own, i * own.length);
  return { ...tensor, dims: [times * tensor.dims[0], ...tensor.dims.slice(1)], data };
}
