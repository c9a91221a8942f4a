import { GaussianNoise } from '../runtime/gaussian-noise.js';

/** What random Fourier features are drawn with. */
export interface FourierOptions {
  /** σ of the kernel `exp(-‖x - y‖² / 2σ²)`, above 0. */
  readonly bandwidth: number;
  /** R: numbers in an embedding, even. */
  readonly size: number;
  readonly seed: number;
}

/**
 * Random Fourier features (Rahimi and Recht, "Random features for large-scale kernel machines", NIPS 2007) of samples
 * at length 1: `z(x) = √(2/R) (cos ωᵢᵀx, sin ωᵢᵀx), i = 1 … R/2`, with ωᵢ from N(0, σ⁻² I), so that
 * `z(x)ᵀz(y) ≈ exp(-‖x - y‖² / 2σ²)`, and `z(x)ᵀz(x) = 1`. A cosine and a sine of each frequency vary less than
 * cosines of twice as many with random phases (Sutherland and Schneider, UAI 2015), at half the cost.
 */
export class FourierFeatures {
  readonly size: number;
  /** ωᵢ, `[R/2, D]`. */
  private readonly frequencies: Float32Array;

  /** @param cols - D */
  constructor(
    readonly cols: number,
    { bandwidth, size, seed }: FourierOptions,
  ) {
    this.size = size;
    const noise = new GaussianNoise(seed);
    this.frequencies = Float32Array.from({ length: (size / 2) * cols }, () => noise.next() / bandwidth);
  }

  /**
   * Embeds a sample.
   * @param sample - `[D]`, of any scale; brought to length 1, and zeros stay zeros
   * @param into - gets the embedding, `[R]`, at `offset`
   * @returns false, with nothing written, where the sample is not finite
   */
  embed(sample: Float32Array, into: Float32Array, offset: number): boolean {
    const { cols, size, frequencies } = this;
    const scale = scaleToUnit(sample);
    if (!Number.isFinite(scale)) return false;
    const amplitude = Math.sqrt(2 / size);
    for (let i = 0; i < size / 2; i++) {
      const angle = scale * dot(sample, frequencies, i * cols);
      into[offset + 2 * i] = amplitude * Math.cos(angle);
      into[offset + 2 * i + 1] = amplitude * Math.sin(angle);
    }
    return true;
  }
}

/**
 * What brings a sample to length 1.
 * @param sample - `[D]`
 * @returns 0 for a sample of zeros; NaN for one that is not finite, or lacks values
 */
export function scaleToUnit(sample: Float32Array): number {
  const squares = dot(sample, sample, 0);
  if (squares === 0) return 0;
  return squares < Infinity ? 1 / Math.sqrt(squares) : Number.NaN;
}

/**
 * The inner product of a sample and a row of a matrix. Four sums, so that one addition does not wait for another.
 * @param sample - `[D]`
 * @param rows - holds the row
 * @param begin - where in `rows` it begins
 */
export function dot(sample: Float32Array, rows: Float32Array, begin: number): number {
  const { length } = sample;
  const whole = length - (length % 4);
  let [first, second, third, fourth] = [0, 0, 0, 0];
  for (let col = 0; col < whole; col += 4) {
    first += sample[col] * rows[begin + col];
    second += sample[col + 1] * rows[begin + col + 1];
    third += sample[col + 2] * rows[begin + col + 2];
    fourth += sample[col + 3] * rows[begin + col + 3];
  }
  for (let col = whole; col < length; col++) first += sample[col] * rows[begin + col];
  return first + second + third + fourth;
}
