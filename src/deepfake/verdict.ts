/** What is said of a face, a picture or a video; `no-face` where there is nothing to judge. */
export type Verdict = 'real' | 'unsure' | 'fake' | 'no-face';

/** What a probability of fake means. */
export interface VerdictRules {
  /** Where real ends and fake begins, in [0, 1]. */
  readonly threshold: number;
  /** Between these two nothing is decided. */
  readonly unsure?: readonly [number, number] | undefined;
}

/** What a probability of fake in [0, 1] comes to. */
export function verdictOf(score: number, { threshold, unsure }: VerdictRules): Verdict {
  const [low, high] = unsure ?? [threshold, threshold];
  return score >= high ? 'fake' : score < low ? 'real' : 'unsure';
}

const SEVERITY: readonly Verdict[] = ['no-face', 'real', 'unsure', 'fake'];

/** The gravest of some verdicts: fake before unsure before real; `no-face` of none. */
export function gravest(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce(
    (worst, other) => (SEVERITY.indexOf(other) > SEVERITY.indexOf(worst) ? other : worst),
    'no-face',
  );
}

/** The fake probabilities of one person over the frames of a video, in short. */
export interface Spread {
  /** The video's score: the mean over its frames (Yermakov et al., WACV 2026). */
  readonly mean: number;
  /** The standard deviation, 0 of one frame. */
  readonly deviation: number;
  readonly least: number;
  readonly greatest: number;
}

/**
 * Sums up the fake probabilities of frames.
 * @param scores - in [0, 1], at least one
 */
export function spreadOf(scores: readonly number[]): Spread {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const variance = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length;
  return {
    mean,
    deviation: Math.sqrt(variance),
    least: Math.min(...scores),
    greatest: Math.max(...scores),
  };
}
