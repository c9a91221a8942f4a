import { SeededRandom } from './seeded-random.js';

/** Standard normal numbers from a seed: pairs of them out of uniform ones, by Box and Muller (1958). */
export class GaussianNoise {
  private readonly random: SeededRandom;
  private spare: number | undefined;

  /** @param seeds - as `SeededRandom` takes them */
  constructor(...seeds: readonly number[]) {
    this.random = new SeededRandom(...seeds);
  }

  /** The next number. */
  next(): number {
    if (this.spare !== undefined) {
      const { spare } = this;
      this.spare = undefined;
      return spare;
    }
    // The logarithm needs a number above 0.
    const radius = Math.sqrt(-2 * Math.log((this.random.next() + 1) / 2 ** 32));
    const angle = 2 * Math.PI * this.random.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}
