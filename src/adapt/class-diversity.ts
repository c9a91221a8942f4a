/** Samples that the mean is taken over, at least. */
const LEAST_WINDOW = 256;
/** And for each class: fewer than this could not show all classes, whatever the traffic. */
const WINDOW_PER_CLASS = 4;

/**
 * How many classes recent samples are predicted to be of: `exp(H(m)) / K`, with m the mean of their probabilities
 * and H its entropy in nats (exp(H) is Hill's effective number of order 1, Ecology 1973).
 *
 * m is an exponentially weighted mean, with the weight `λ = max(1/t, 2/(n+1))` for the t-th sample: a plain mean at
 * first, later one of the effective size `(Σw)² / Σw² = n` samples, n = max(256, 4K).
 */
export class ClassDiversity {
  private readonly mean: Float64Array;
  private readonly least: number;
  private taken = 0;

  /** @param classes - K, 1 at least */
  constructor(readonly classes: number) {
    this.mean = new Float64Array(classes);
    this.least = 2 / (Math.max(LEAST_WINDOW, WINDOW_PER_CLASS * classes) + 1);
  }

  /**
   * Takes the newest sample.
   * @param probabilities - `[K]`, finite; they sum to 1
   */
  add(probabilities: Float32Array): void {
    const { mean, least } = this;
    const weight = Math.max(1 / ++this.taken, least);
    for (let k = 0; k < mean.length; k++) mean[k] += weight * (probabilities[k] - mean[k]);
  }

  /** From 1/K, where all are of one class, to 1, where all classes are as frequent; undefined before any sample. */
  get value(): number | undefined {
    if (this.taken === 0) return undefined;
    const sum = this.mean.reduce((total, share) => total + share, 0);
    let entropy = 0;
    for (const share of this.mean) if (share > 0) entropy -= (share / sum) * Math.log(share / sum);
    return Math.min(1, Math.exp(entropy) / this.classes);
  }
}
