import { BallastError } from '../errors.js';
import { GaussianNoise } from '../runtime/gaussian-noise.js';
import { argmax } from '../runtime/matrix.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import type { Matrix, Tensor } from '../runtime/tensor.js';
import type { Coordinator } from './coordinator.js';
import { descend, queriesOfStep, stepsWithin } from './descend.js';
import { initialParameters } from './decoder-plan.js';
import { foldDecoder } from './decoder-weights.js';
import { takeSamples } from './samples.js';
import { SpsaGc, type SpsaGcOptions, type SpsaGcState } from './spsa-gc.js';

/** What is fitted to: pictures as the classifier takes them, and their classes. */
export interface Shots {
  readonly images: Tensor;
  /** One a picture. */
  readonly labels: Uint32Array;
}

/** A model that answers and shows nothing else. */
export interface BlackBox {
  /**
   * @param images - `[N, …]`
   * @returns logits `[N, K]`
   */
  classify(images: Tensor, signal?: AbortSignal): Promise<Matrix>;
}

/** How a prompt is fitted. */
export interface FitPromptOptions extends Omit<SpsaGcOptions, 'perturb' | 'seed'> {
  readonly seed: number;
  /** Pictures that the black box may be asked about, in all. */
  readonly queries: number;
  /** Pictures a candidate is judged by, at most. */
  readonly batchSize: number;
  /** Share of the shots that is kept to judge by, in (0, 1). */
  readonly validation: number;
  /** Steps between two looks at the validation share. */
  readonly evaluateEvery: number;
}

/** How good some parameters are on the validation share. */
export interface Score {
  /** Mean cross-entropy. */
  readonly loss: number;
  /** Share of right answers, in [0, 1]. */
  readonly accuracy: number;
}

/** The parameters of least loss on the validation share, and when they came. */
export interface BestPrompt extends Score {
  readonly step: number;
  readonly parameters: Float64Array;
}

/** All that a fit needs to go on after its process ended. */
export interface FitState {
  readonly spsa: SpsaGcState;
  /** Means and variances of the decoder's normalisations. */
  readonly statistics: Float64Array;
  /** The black box without a prompt. */
  readonly base: Score;
  readonly best: BestPrompt;
  readonly queries: number;
}

/** A line of a fit's progress. */
export interface FitProgress {
  readonly step: number;
  /** Steps in all, at most. */
  readonly steps: number;
  /** Loss of the latest step's candidates. */
  readonly loss: number;
  readonly queries: number;
  /** The latest look at the validation share. */
  readonly validation: Score;
  readonly best: Omit<BestPrompt, 'parameters'>;
  readonly base: Score;
}

/** What a fit is given. */
export interface FitPromptInput {
  readonly coordinator: Pick<Coordinator, 'plan' | 'encode' | 'measure' | 'prompt'>;
  readonly blackBox: BlackBox;
  readonly shots: Shots;
  readonly options: FitPromptOptions;
  /** Where an earlier run of the same fit stood. */
  readonly from?: FitState | undefined;
  readonly onProgress?: (progress: FitProgress) => void;
  /** Called at every look at the validation share; the fit goes on when it is done. */
  readonly onCheckpoint?: (state: FitState) => void | Promise<void>;
  /** Awaited between two pieces of work, to let others go first. */
  readonly pause?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** Numbers that keep the random choices of one fit apart from each other. */
const STREAM = { split: 1, start: 2 } as const;
/** Numbers in the pictures that are prompted at once, at most: more would only wait for memory. */
const MOST_FLOATS = 2 ** 23;
/** The normalisations are measured on so many pictures, at most. */
const MOST_MEASURED = 64;

/**
 * Fits a Coordinator to labelled pictures through a black box's answers alone, by SPSA-GC (Oh et al., "BlackVIP",
 * CVPR 2023). Every random choice follows from the seed and the number of the step, so that a fit which goes on from
 * a checkpoint ends where an undisturbed one does.
 * @returns where the fit ended; `best` is what should be kept
 * @throws BallastError invalid-input where shots or budget are too few; whatever the black box throws; the signal's
 *   reason
 */
export async function fitPrompt(input: FitPromptInput): Promise<FitState> {
  const { coordinator, blackBox, shots, options, signal } = input;
  const { training, validation } = splitShots(shots, options.validation, options.seed);
  const codes = await coordinator.encode(shots.images);
  const held = partOf(shots, codes, validation);
  const spsa = new SpsaGc(input.from?.spsa ?? startOf(coordinator, options.seed), options);
  const aStep = queriesOfStep(options, training);
  const aLook = validation.length;

  const evaluate = async (
    part: LabelledPart,
    statistics: Float64Array,
    candidates: readonly Float64Array[],
  ): Promise<Score[]> => {
    const sets = candidates.map((one) => foldDecoder(coordinator.plan, one, statistics));
    const together = Math.max(1, Math.floor(MOST_FLOATS / (part.images.data as Float32Array).length));
    const found: Score[] = [];
    for (let begin = 0; begin < sets.length; begin += together) {
      await input.pause?.();
      signal?.throwIfAborted();
      const some = sets.slice(begin, begin + together);
      const prompted = await coordinator.prompt(part.images, part.codes, some);
      found.push(...scores(await blackBox.classify(prompted, signal), part.labels));
    }
    return found;
  };

  let state = input.from;
  if (state === undefined) {
    if (options.queries < aStep + 3 * aLook) {
      throw new BallastError(
        'invalid-input',
        `A budget of ${options.queries} queries is too small: one step asks ${aStep}, and judging it on ${aLook} pictures of the validation share, with and without a prompt, ${3 * aLook}.`,
      );
    }
    const some = partOf(shots, codes, training.subarray(0, MOST_MEASURED));
    const statistics = await coordinator.measure(some.images, some.codes, spsa.parameters);
    const [base] = scores(await blackBox.classify(held.images, signal), held.labels);
    const [first] = await evaluate(held, statistics, [spsa.parameters]);
    const best = { ...first, step: 0, parameters: spsa.parameters };
    state = { spsa: spsa.state, statistics, base, best, queries: 2 * aLook };
  }
  const { statistics, base } = state;
  await descend({
    ...{ spsa, options, training, validation, base },
    best: state.best,
    queries: state.queries,
    // Not counted from `state`: a fit that goes on must have the same end.
    total: stepsWithin(options, training, validation, 3),
    evaluate: (candidates, indices) =>
      evaluate(indices === validation ? held : partOf(shots, codes, indices), statistics, candidates),
    onLook: async (best, queries) => {
      state = { spsa: spsa.state, statistics, base, best, queries };
      await input.onCheckpoint?.(state);
    },
    onProgress: input.onProgress,
  });
  return state;
}

/**
 * Whether a prompt helps: more right answers than without, at no greater loss. A validation share has few pictures, so
 * that right answers alone may come by chance.
 */
export function beats(one: Score, other: Score): boolean {
  return one.accuracy > other.accuracy && one.loss <= other.loss;
}

/**
 * Cuts shots into those that are learnt from and those that judge: of each class the same share, at least one of each
 * kind where it has two shots.
 * @param share - of the shots that judge
 * @throws BallastError invalid-input where there are too few, or of one class alone
 */
export function splitShots(
  { labels }: Pick<Shots, 'labels'>,
  share: number,
  seed: number,
): { training: Uint32Array; validation: Uint32Array } {
  const order = new SeededRandom(seed, STREAM.split).permutation(labels.length);
  const byClass = new Map<number, number[]>();
  for (const index of order) {
    const indices = byClass.get(labels[index]);
    if (indices === undefined) byClass.set(labels[index], [index]);
    else indices.push(index);
  }
  if (byClass.size < 2) {
    throw new BallastError(
      'invalid-input',
      `All ${labels.length} pictures are of one class; a prompt is fitted to tell at least two apart.`,
    );
  }
  const [training, validation]: [number[], number[]] = [[], []];
  for (const indices of byClass.values()) {
    const judging = Math.min(indices.length - 1, Math.max(1, Math.round(indices.length * share)));
    validation.push(...indices.slice(0, judging));
    training.push(...indices.slice(judging));
  }
  if (validation.length < 2 || training.length < 2) {
    throw new BallastError(
      'invalid-input',
      `${labels.length} pictures are too few: at least two classes need two pictures each, one to learn from and one to judge by.`,
    );
  }
  return { training: Uint32Array.from(training), validation: Uint32Array.from(validation) };
}

interface LabelledPart {
  readonly images: Tensor;
  readonly codes: Tensor;
  readonly labels: Uint32Array;
}

function partOf({ images, labels }: Shots, codes: Tensor, indices: Uint32Array): LabelledPart {
  return {
    images: takeSamples(images, indices),
    codes: takeSamples(codes, indices),
    labels: indices.map((index) => labels[index]),
  };
}

function startOf(coordinator: Pick<Coordinator, 'plan'>, seed: number): Float64Array {
  return initialParameters(coordinator.plan, new GaussianNoise(seed, STREAM.start));
}

/** Scores of the answers to V candidates on the same samples, `[V·N, K]`. */
export function scores(logits: Matrix, labels: Uint32Array): Score[] {
  const { rows, cols, data } = logits;
  const count = labels.length;
  return Array.from({ length: rows / count }, (_, set) => {
    let [loss, right] = [0, 0];
    labels.forEach((label, i) => {
      const row = set * count + i;
      const own = data.subarray(row * cols, (row + 1) * cols);
      const best = argmax(logits, row);
      if (best === label) right++;
      let sum = 0;
      for (const logit of own) sum += Math.exp(logit - own[best]);
      loss += own[best] + Math.log(sum) - own[label];
    });
    return { loss: loss / count, accuracy: right / count };
  });
}
