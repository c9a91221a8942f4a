import { inTurns } from './in-turns.js';

/** Zero crossings of the sinc on either side, and the cut-off as a share of the lower Nyquist frequency. */
const WIDTH = 6;
const ROLLOFF = 0.99;

/** Multiplications in a turn. */
const STEPS_A_TURN = 1 << 19;
/** Weights that are kept; between rates that need more, they are computed for every sample again. */
const MAX_KEPT = 1 << 18;

/**
 * Samples of the input that decide the first samples of the output.
 * @param outputs - samples at the rate `to`
 * @param from - samples a second of the input
 * @param to - samples a second of the output
 */
export function inputFor(outputs: number, from: number, to: number): number {
  return from === to ? outputs : Math.ceil((outputs * from) / to) + reach(from, to) + 1;
}

/**
 * Resamples as torchaudio.functional.resample does by default: a sinc under a Hann window, six zero crossings to a
 * side, which ends at 0.99 of the lower of both Nyquist frequencies. What is before and after the input counts as silence.
 * @param samples - `[n]`
 * @param from - their rate in Hz, a whole number above 0
 * @param to - the wanted rate in Hz, a whole number above 0
 * @param most - samples that are wanted; later ones are not computed. All of them where left out.
 * @returns `[min(most, ceil(n * to / from))]`; `samples` itself where the rates are the same and all are wanted
 * @throws RangeError where a rate is not a whole number above 0
 */
export async function resample(
  samples: Float32Array,
  from: number,
  to: number,
  most = Infinity,
): Promise<Float32Array> {
  for (const rate of [from, to]) {
    if (!Number.isSafeInteger(rate) || rate < 1) throw new RangeError(`${rate} Hz is no sample rate.`);
  }
  if (from === to) return samples.subarray(0, Math.min(most, samples.length));
  const divisor = greatestCommonDivisor(from, to);
  const [orig, wanted] = [from / divisor, to / divisor];
  const weights = new Weights(orig, wanted);
  const { taps, before, values } = weights;
  const out = new Float32Array(Math.min(most, Math.ceil((samples.length * wanted) / orig)));
  await inTurns(out.length, Math.max(1, Math.floor(STEPS_A_TURN / weights.cost)), (begin, end) => {
    for (let j = begin; j < end; j++) {
      const whole = Math.floor((j * orig) / wanted);
      const row = weights.row(j * orig - whole * wanted);
      const first = whole - before;
      const stop = Math.min(taps, samples.length - first);
      // Two sums, since each addition would wait for the one before it.
      let even = 0;
      let odd = 0;
      let k = Math.max(0, -first);
      for (; k + 1 < stop; k += 2) {
        even += samples[first + k] * values[row + k];
        odd += samples[first + k + 1] * values[row + k + 1];
      }
      if (k < stop) even += samples[first + k] * values[row + k];
      out[j] = even + odd;
    }
  });
  return out;
}

/** The weights of the input's samples around each place between two of them where the output has one. */
class Weights {
  /** Weights of a row, and how many of them are before the place. */
  readonly taps: number;
  readonly before: number;
  readonly values: Float64Array;
  private readonly isKept: boolean;
  private readonly known: Uint8Array;
  /** Zero crossings from one sample of the input to the next. */
  private readonly pace: number;
  /** Cosine and sine of what the arguments of the sinc and of the window grow by over k samples. */
  private readonly sinc: readonly [Float64Array, Float64Array];
  private readonly window: readonly [Float64Array, Float64Array];

  /** @param orig - rate of the input, and `wanted` that of the output, without common divisors */
  constructor(
    orig: number,
    private readonly wanted: number,
  ) {
    this.before = reach(orig, wanted);
    this.taps = 2 * this.before + 2;
    this.pace = (Math.min(orig, wanted) * ROLLOFF) / orig;
    this.isKept = wanted * this.taps <= MAX_KEPT;
    const rows = this.isKept ? wanted : 1;
    this.known = new Uint8Array(rows);
    this.values = new Float64Array(rows * this.taps);
    const growing = (step: number): readonly [Float64Array, Float64Array] => [
      Float64Array.from({ length: this.taps }, (_, k) => Math.cos(step * k)),
      Float64Array.from({ length: this.taps }, (_, k) => Math.sin(step * k)),
    ];
    this.sinc = growing(Math.PI * this.pace);
    this.window = growing((Math.PI * this.pace) / WIDTH);
  }

  /** What a sample of the output costs, in multiplications. */
  get cost(): number {
    return this.isKept ? this.taps : 10 * this.taps;
  }

  /** Where in `values` the row begins of a place that is `phase / wanted` of a sample after one of the input. */
  row(phase: number): number {
    if (!this.isKept) {
      this.fill(0, phase);
      return 0;
    }
    if (this.known[phase] === 0) this.fill(phase * this.taps, phase);
    this.known[phase] = 1;
    return phase * this.taps;
  }

  private fill(row: number, phase: number): void {
    const { taps, before, pace, values, sinc, window } = this;
    const begin = (-before - phase / this.wanted) * pace;
    const [c, s] = [Math.cos(Math.PI * begin), Math.sin(Math.PI * begin)];
    const [wc, ws] = [Math.cos((Math.PI * begin) / WIDTH), Math.sin((Math.PI * begin) / WIDTH)];
    for (let k = 0; k < taps; k++) {
      const t = begin + k * pace;
      // sin(a + b) and cos(a + b), and cos²(x / 2) = (1 + cos x) / 2: no trigonometry for each weight.
      const wave = Math.abs(t) < 1e-8 ? 1 : (s * sinc[0][k] + c * sinc[1][k]) / (Math.PI * t);
      const hann = Math.abs(t) >= WIDTH ? 0 : (1 + wc * window[0][k] - ws * window[1][k]) / 2;
      values[row + k] = wave * hann * pace;
    }
  }
}

/** Samples of the input to one side that weigh in a sample of the output, at most. */
function reach(from: number, to: number): number {
  return Math.ceil((WIDTH * Math.max(1, from / to)) / ROLLOFF);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
