/**
 * The power spectrum of real frames of one length, any length: a mixed-radix Stockham transform in float64, with two
 * real values packed into each complex one where the length is even.
 */
export class RealFft {
  /** Values of a spectrum: size / 2 + 1, rounded down. */
  readonly bins: number;
  private readonly complex: ComplexFft;
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;

  /** @param size - values of a frame, at least 1; its prime factors are what a transform costs */
  constructor(readonly size: number) {
    this.bins = (size >> 1) + 1;
    this.complex = new ComplexFft(size % 2 === 0 ? size / 2 : size);
    [this.cos, this.sin] = roots(size);
  }

  /** Additions and multiplications of a transform, roughly. */
  get cost(): number {
    return this.complex.cost + 4 * this.bins;
  }

  /**
   * @param frame - `[size]`
   * @param out - `[bins]`: becomes |X|² of each bin
   */
  power(frame: Float64Array, out: Float64Array): void {
    const { size, bins, complex, cos, sin } = this;
    const { re, im } = complex;
    if (size % 2 === 1) {
      re.set(frame);
      im.fill(0);
      complex.transform();
      for (let k = 0; k < bins; k++) out[k] = complex.re[k] ** 2 + complex.im[k] ** 2;
      return;
    }
    const half = size / 2;
    for (let j = 0; j < half; j++) {
      re[j] = frame[2 * j];
      im[j] = frame[2 * j + 1];
    }
    complex.transform();
    const [a, b] = [complex.re, complex.im];
    for (let k = 0; k < bins; k++) {
      const here = k % half;
      const mirror = (half - k) % half;
      const evenRe = (a[here] + a[mirror]) / 2;
      const evenIm = (b[here] - b[mirror]) / 2;
      const oddRe = (b[here] + b[mirror]) / 2;
      const oddIm = (a[mirror] - a[here]) / 2;
      const re2 = evenRe + oddRe * cos[k] + oddIm * sin[k];
      const im2 = evenIm + oddIm * cos[k] - oddRe * sin[k];
      out[k] = re2 * re2 + im2 * im2;
    }
  }
}

/** Transforms what is in `re` and `im`, in place. */
class ComplexFft {
  re: Float64Array;
  im: Float64Array;
  readonly cost: number;
  private readonly factors: readonly number[];
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;
  private otherRe: Float64Array;
  private otherIm: Float64Array;

  constructor(private readonly size: number) {
    this.factors = primeFactors(size);
    this.cost = size * this.factors.reduce((sum, factor) => sum + (factor === 2 ? 4 : 6 * factor), 1);
    [this.cos, this.sin] = roots(size);
    [this.re, this.im] = [new Float64Array(size), new Float64Array(size)];
    [this.otherRe, this.otherIm] = [new Float64Array(size), new Float64Array(size)];
  }

  transform(): void {
    let [length, stride] = [this.size, 1];
    for (const factor of this.factors) {
      if (factor === 2) this.pass2(length, stride);
      else this.pass(factor, length, stride);
      length /= factor;
      stride *= factor;
      [this.re, this.otherRe] = [this.otherRe, this.re];
      [this.im, this.otherIm] = [this.otherIm, this.im];
    }
  }

  /** Splits transforms of `length`, `stride` of them interleaved, in two. */
  private pass2(length: number, stride: number): void {
    const { re, im, otherRe, otherIm, cos, sin } = this;
    const half = length / 2;
    const across = half * stride;
    for (let j = 0; j < half; j++) {
      const c = cos[j * stride];
      const s = sin[j * stride];
      const end = (j + 1) * stride;
      for (let from = j * stride, to = 2 * j * stride; from < end; from++, to++) {
        const p = re[from] - re[from + across];
        const q = im[from] - im[from + across];
        otherRe[to] = re[from] + re[from + across];
        otherIm[to] = im[from] + im[from + across];
        otherRe[to + stride] = p * c + q * s;
        otherIm[to + stride] = q * c - p * s;
      }
    }
  }

  /** The same in `factor` parts. */
  private pass(factor: number, length: number, stride: number): void {
    const { re, im, otherRe, otherIm, cos, sin, size } = this;
    const part = length / factor;
    for (let j = 0; j < part; j++) {
      for (let k = 0; k < factor; k++) {
        for (let q = 0; q < stride; q++) {
          let x = 0;
          let y = 0;
          for (let r = 0; r < factor; r++) {
            // w_length^(jk) * w_factor^(rk), both as powers of the root of the whole size.
            const turn = (j * k * stride + r * k * (size / factor)) % size;
            const from = q + stride * (j + part * r);
            x += re[from] * cos[turn] + im[from] * sin[turn];
            y += im[from] * cos[turn] - re[from] * sin[turn];
          }
          const to = q + stride * (factor * j + k);
          otherRe[to] = x;
          otherIm[to] = y;
        }
      }
    }
  }
}

/** Cosine and sine of 2πk / size. */
function roots(size: number): [Float64Array, Float64Array] {
  const angle = (k: number): number => (2 * Math.PI * k) / size;
  return [
    Float64Array.from({ length: size }, (_, k) => Math.cos(angle(k))),
    Float64Array.from({ length: size }, (_, k) => Math.sin(angle(k))),
  ];
}

function primeFactors(size: number): number[] {
  const factors: number[] = [];
  let rest = size;
  for (let factor = 2; rest > 1; factor++) {
    for (; rest % factor === 0; rest /= factor) factors.push(factor);
  }
  return factors;
}
