import { SeededRandom } from '../runtime/seeded-random.js';
import type { BestPrompt, FitProgress, FitPromptOptions, Score } from './fit-prompt.js';
import type { SpsaGc } from './spsa-gc.js';

/** Keeps the draws of batches apart from a fit's other random choices. */
const BATCH_STREAM = 3;

/** What a descent is given. */
export interface Descent {
  /** The optimiser, where it stands. */
  readonly spsa: SpsaGc;
  readonly options: FitPromptOptions;
  /** Numbers of the samples that are learnt from, and of those that judge. */
  readonly training: Uint32Array;
  readonly validation: Uint32Array;
  /** Steps in all. */
  readonly total: number;
  /** How good the samples are answered with nothing fitted. */
  readonly base: Score;
  /** The best parameters so far, and the queries made. */
  readonly best: BestPrompt;
  readonly queries: number;
  /** Scores candidates on some of the samples. */
  readonly evaluate: (candidates: readonly Float64Array[], indices: Uint32Array) => Promise<readonly Score[]>;
  /** Called after every look at the validation share. */
  readonly onLook?: (best: BestPrompt, queries: number) => void | Promise<void>;
  readonly onProgress?: ((progress: FitProgress) => void) | undefined;
}

/**
 * Steps down to the end of a fit, looking at the validation share from time to time. The draws follow from the seed
 * and the number of the step alone.
 * @returns the parameters of least loss on the validation share, and all queries made
 */
export async function descend(descent: Descent): Promise<{ best: BestPrompt; queries: number }> {
  const { spsa, options, training, validation, total, base, evaluate } = descent;
  const batchSize = batchSizeOf(options, training);
  let { best, queries } = descent;
  let latest: Score = { loss: best.loss, accuracy: best.accuracy };
  for (let step = spsa.state.step + 1; step <= total; step++) {
    const batch = drawBatch(training, batchSize, options.seed, step);
    const { loss } = await spsa.stepTogether(async (candidates) =>
      (await evaluate(candidates, batch)).map((one) => one.loss),
    );
    queries += queriesOfStep(options, training);
    if (step % options.evaluateEvery === 0 || step === total) {
      [latest] = await evaluate([spsa.parameters], validation);
      queries += validation.length;
      // The loss moves with every sample, and right answers only with those near the border.
      if (latest.loss < best.loss) best = { ...latest, step, parameters: spsa.parameters };
      await descent.onLook?.(best, queries);
    }
    const shown = { step: best.step, loss: best.loss, accuracy: best.accuracy };
    descent.onProgress?.({ step, steps: total, loss, queries, validation: latest, best: shown, base });
  }
  return { best, queries };
}

/** Samples that one step asks about. */
export function queriesOfStep(options: FitPromptOptions, training: Uint32Array): number {
  return 2 * (options.samples ?? 5) * batchSizeOf(options, training);
}

/**
 * Steps that a budget pays for, at least one.
 * @param looks - looks at the validation share besides those between the steps
 */
export function stepsWithin(
  options: FitPromptOptions,
  training: Uint32Array,
  validation: Uint32Array,
  looks: number,
): number {
  const left = options.queries - looks * validation.length;
  const aStep = queriesOfStep(options, training) + validation.length / options.evaluateEvery;
  return Math.max(1, Math.floor(left / aStep));
}

function batchSizeOf(options: FitPromptOptions, training: Uint32Array): number {
  return Math.min(options.batchSize, training.length);
}

/** Different samples, drawn by the step's own random numbers; all of them where the batch takes them. */
function drawBatch(training: Uint32Array, size: number, seed: number, step: number): Uint32Array {
  if (size === training.length) return training;
  const order = new SeededRandom(seed, BATCH_STREAM, step).permutation(training.length);
  return order.subarray(0, size).map((index) => training[index]);
}
