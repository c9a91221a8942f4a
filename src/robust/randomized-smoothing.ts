import { gaussianRadius } from './certificate.js';
import { lowerBound, upperBound } from './clopper-pearson.js';

/** Votes of one sample under Gaussian noise. */
export interface NoisyVotes {
  /** Those that choose the class, `[K]`. */
  readonly selection: Uint32Array;
  /** Those that the probabilities are bounded by, `[K]`; other draws than `selection`. */
  readonly estimation: Uint32Array;
}

/** What votes certify. */
export interface VoteCertificate {
  /** The smoothed classifier's class. */
  readonly index: number;
  /** L2 radius within which the mixture answers that class; 0 where nothing could be shown. */
  readonly radius: number;
}

/**
 * Certifies a mixture of which the robust part is a smoothed classifier (Cohen, Rosenfeld, Kolter, ICML 2019,
 * section 3.2.2; Bai et al., 2023, theorem 3.7). The class is chosen by votes of its own. Then half of the error goes
 * to a lower bound of its probability, and the other half, shared by all other classes, to upper bounds of theirs,
 * all by Clopper and Pearson. Whatever alpha does above `alpha`, the statement holds: a greater weight of the robust
 * classifier favours its class.
 * @param alpha - the least weight of the smoothed classifier
 * @param sigma - deviation of the noise, in the unit of the radius
 * @param confidence - how sure the statement is, in (0, 1)
 */
export function certifyVotes(
  { selection, estimation }: NoisyVotes,
  alpha: number,
  sigma: number,
  confidence: number,
): VoteCertificate {
  const index = selection.indexOf(Math.max(...selection));
  const trials = estimation.reduce((sum, votes) => sum + votes, 0);
  const others = estimation.filter((_, other) => other !== index);
  const error = (1 - confidence) / 2;
  const first = lowerBound(estimation[index], trials, error);
  const second = Math.min(1 - first, upperBound(Math.max(0, ...others), trials, error / others.length));
  return { index, radius: gaussianRadius(first, second, alpha, sigma) };
}
