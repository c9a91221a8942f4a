import { RealFft } from './fft.js';
import { inTurns } from './in-turns.js';
import { melFilters, type MelFilter, type MelScale } from './mel-filters.js';

/** How a mel spectrogram becomes a logarithmic one. */
export type MelLog =
  /** Decibels over `ref` ('max': over the loudest value), of at least `amin`, at most `topDb` below the loudest. */
  | {
      readonly kind: 'db';
      readonly ref: number | 'max';
      readonly amin: number;
      readonly topDb: number | null;
    }
  /** ln(x + offset) */
  | { readonly kind: 'natural'; readonly offset: number };

/** How a waveform becomes a log-mel spectrogram, in the terms of librosa and torchaudio. */
export interface LogMelFormat extends MelScale {
  /** Samples of a transform, of the Hann window (periodic) in its middle, and from one frame to the next. */
  readonly nFft: number;
  readonly winLength: number;
  readonly hopLength: number;
  /** Whether frames are around their time, the waveform padded at both ends, or begin at it. */
  readonly center: boolean;
  /** What it is padded with: its own mirror image, or silence. */
  readonly padMode: 'reflect' | 'constant';
  /** 2: of the power; 1: of the magnitude, whose decibels are 20 log10 in place of 10. */
  readonly power: 1 | 2;
  readonly log: MelLog;
  /** Frames that are kept, the first ones; all where left out. */
  readonly frames?: number | undefined;
  /** Order of the axes: [M, T], [1, M, T] or [T, M]. */
  readonly layout: 'mels-frames' | 'channel-mels-frames' | 'frames-mels';
}

/** Multiplications in a turn. */
const STEPS_A_TURN = 1 << 19;

/** Frames that a waveform gives. */
export function framesOf(format: Omit<LogMelFormat, 'frames' | 'layout'>, samples: number): number {
  const { nFft, hopLength, center } = format;
  const padded = samples + (center ? 2 * (nFft >> 1) : 0);
  return padded < nFft ? 0 : 1 + Math.floor((padded - nFft) / hopLength);
}

/** Computes log-mel spectrograms of one format and length. */
export class LogMel {
  /** As `layout` says. */
  readonly shape: readonly number[];
  private readonly frames: number;
  private readonly fft: RealFft;
  private readonly window: Float64Array;
  private readonly filters: readonly MelFilter[];
  private readonly frame: Float64Array;
  private readonly spectrum: Float64Array;

  /**
   * @param format - what is computed
   * @param sampleRate - of the waveforms, in Hz
   * @param samples - of a waveform
   * @throws RangeError where the format contradicts itself or the waveform is too short for its frames
   */
  constructor(
    private readonly format: LogMelFormat,
    sampleRate: number,
    private readonly samples: number,
  ) {
    const { nFft, winLength, fMin, fMax, nMels, layout } = format;
    const most = framesOf(format, samples);
    this.frames = format.frames ?? most;
    if (samples < 1 || this.frames < 1 || this.frames > most) {
      throw new RangeError(`${samples} samples give ${most} frames, not ${this.frames}.`);
    }
    if (winLength > nFft) throw new RangeError(`A window of ${winLength} is longer than nFft, ${nFft}.`);
    if (fMin >= fMax) throw new RangeError(`fMin, ${fMin} Hz, is not below fMax, ${fMax} Hz.`);
    this.shape = {
      'mels-frames': [nMels, this.frames],
      'channel-mels-frames': [1, nMels, this.frames],
      'frames-mels': [this.frames, nMels],
    }[layout];
    this.fft = new RealFft(nFft);
    this.window = hann(winLength);
    this.filters = melFilters(format, this.fft.bins, sampleRate);
    this.frame = new Float64Array(nFft);
    this.spectrum = new Float64Array(this.fft.bins);
  }

  /**
   * @param waveform - at most as many samples as the format has; silence follows where it has fewer
   * @param out - receives `nMels * frames` values from `offset` on, in the order of `shape`
   * @param offset - where in `out` they begin
   */
  async compute(waveform: Float32Array, out: Float32Array, offset: number): Promise<void> {
    const { nFft, nMels, log, layout } = this.format;
    const padded = this.pad(waveform);
    const [melStep, frameStep] = layout === 'frames-mels' ? [1, nMels] : [this.frames, 1];
    const cost = this.fft.cost + 3 * nFft + 20 * nMels;
    let loudest = -Infinity;
    await inTurns(this.frames, Math.max(1, Math.floor(STEPS_A_TURN / cost)), (begin, end) => {
      for (let frame = begin; frame < end; frame++) {
        this.transform(padded, frame);
        let to = offset + frame * frameStep;
        for (const { begin: first, weights } of this.filters) {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += weights[i] * this.spectrum[first + i];
          const value = this.logarithm(sum);
          if (value > loudest) loudest = value;
          out[to] = value;
          to += melStep;
        }
      }
    });
    if (log.kind === 'natural') return;
    const zero = log.ref === 'max' ? loudest : 0;
    const floor = log.topDb === null ? -Infinity : loudest - log.topDb;
    if (zero === 0 && floor === -Infinity) return;
    await inTurns(nMels * this.frames, STEPS_A_TURN, (begin, end) => {
      for (let at = offset + begin; at < offset + end; at++) out[at] = Math.max(out[at], floor) - zero;
    });
  }

  /** Puts the spectrum of a frame into `spectrum`. */
  private transform(padded: Float32Array, frame: number): void {
    const { nFft, hopLength, winLength, power } = this.format;
    const before = (nFft - winLength) >> 1;
    const begin = frame * hopLength + before;
    for (let i = 0; i < winLength; i++) this.frame[before + i] = padded[begin + i] * this.window[i];
    this.fft.power(this.frame, this.spectrum);
    if (power === 1) {
      for (let bin = 0; bin < this.spectrum.length; bin++) this.spectrum[bin] = Math.sqrt(this.spectrum[bin]);
    }
  }

  private logarithm(value: number): number {
    const { log, power } = this.format;
    if (log.kind === 'natural') return Math.log(value + log.offset);
    const scale = power === 1 ? 20 : 10;
    const ref = log.ref === 'max' ? 1 : Math.max(log.amin, log.ref);
    return scale * (Math.log10(Math.max(log.amin, value)) - Math.log10(ref));
  }

  /** The waveform at its full length, with what the first and the last frames need around it. */
  private pad(waveform: Float32Array): Float32Array {
    const { samples } = this;
    const { nFft, center, padMode } = this.format;
    const side = center ? nFft >> 1 : 0;
    const padded = new Float32Array(samples + 2 * side);
    padded.set(waveform.subarray(0, samples), side);
    if (padMode === 'constant') return padded;
    for (let i = 1; i <= side; i++) {
      padded[side - i] = padded[side + mirror(-i, samples)];
      padded[side + samples - 1 + i] = padded[side + mirror(samples - 1 + i, samples)];
    }
    return padded;
  }
}

/** Folds an index into `[0, count)`, as often as it takes; the ends are not repeated. */
function mirror(index: number, count: number): number {
  if (count === 1) return 0;
  const period = 2 * (count - 1);
  const folded = ((index % period) + period) % period;
  return Math.min(folded, period - folded);
}

function hann(length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => (1 - Math.cos((2 * Math.PI * i) / length)) / 2);
}
