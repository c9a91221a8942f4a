import type { Outcome } from '../outcome.js';

/** An outcome with what every metric needs of each sample worked out once, since intervals take a thousand looks. */
export interface Scored {
  /** 1 where the answer is right, `[N]`. */
  readonly right: Uint8Array;
  /** Negative natural logarithm of the true class's probability, `[N]`. */
  readonly logLoss: Float64Array;
  /** Probability of the answer, `[N]`. */
  readonly confidence: Float32Array;
  /** Of two classes: the probability of class 1 and the true class, in ascending order of it; else undefined. */
  readonly ranked?: {
    /** Samples by rising probability of class 1. */
    readonly order: Uint32Array;
    /** That probability, by sample. */
    readonly score: Float32Array;
    /** The true class, by sample. */
    readonly labels: Uint32Array;
  };
}

/** How often each sample counts, `[N]`; undefined: once. */
export type Weights = Uint32Array | undefined;

/** Probabilities below this count as this, so that one sure mistake does not make a mean infinite. */
export const LEAST_PROBABILITY = 1e-12;

/**
 * Works out what metrics need.
 * @param labels - true classes, `[N]`
 * @param classes - K; with two, samples are ranked for AUROC
 */
export function scoredOf(outcome: Outcome, labels: Uint32Array, classes: number): Scored {
  const { predicted, trueProbability, confidence } = outcome;
  const scored = {
    right: Uint8Array.from(predicted, (answer, i) => Number(answer === labels[i])),
    logLoss: Float64Array.from(trueProbability, (p) => -Math.log(Math.max(p, LEAST_PROBABILITY))),
    confidence,
  };
  if (classes !== 2) return scored;
  const score = trueProbability.map((p, i) => (labels[i] === 1 ? p : 1 - p));
  const order = Uint32Array.from(score.keys()).sort((a, b) => score[a] - score[b]);
  return { ...scored, ranked: { order, score, labels } };
}
