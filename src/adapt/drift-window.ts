import { squaredMmd, type DriftReference } from './feature-drift.js';
import { FourierFeatures } from './fourier-features.js';

/**
 * The newest n samples beside a reference: a sliding window in which all count the same, as those did that the
 * reference's threshold comes from. It keeps their embeddings, `[n, R]`, and the sum of these, so that a sample costs
 * one embedding, whatever n is.
 */
export class DriftWindow {
  private readonly embedding: FourierFeatures;
  /** A ring: the newest sample takes the place of the oldest. */
  private readonly embeddings: Float32Array;
  private readonly sum: Float64Array;
  private readonly arriving: Float32Array;
  private taken = 0;

  constructor(private readonly reference: DriftReference) {
    const size = reference.mean.length;
    this.embedding = new FourierFeatures(reference.features, { ...reference, size });
    this.embeddings = new Float32Array(reference.window * size);
    this.sum = new Float64Array(size);
    this.arriving = new Float32Array(size);
  }

  /**
   * Takes the newest sample; one that is not finite is left out.
   * @param features - `[D]`
   */
  add(features: Float32Array): void {
    const { embedding, embeddings, sum, arriving } = this;
    if (!embedding.embed(features, arriving, 0)) return;
    const place = (this.taken % this.reference.window) * embedding.size;
    for (let i = 0; i < sum.length; i++) sum[i] += arriving[i] - embeddings[place + i];
    embeddings.set(arriving, place);
    this.taken++;
  }

  /**
   * The statistic of the window (see squaredMmd) over the reference's threshold: above 1 in one of a hundred windows
   * of samples like the reference's, around 0 in most.
   * @returns undefined until n samples were taken
   */
  get ratio(): number | undefined {
    const { window, mean, samples, threshold } = this.reference;
    if (this.taken < window) return undefined;
    const recent = { mean: this.sum.map((value) => value / window), count: window };
    return squaredMmd(recent, { mean, count: samples }) / threshold;
  }
}
