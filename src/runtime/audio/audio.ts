import { availableParallelism } from 'node:os';
import { BallastError } from '../../errors.js';
import { Lanes } from '../lanes.js';
import { decodeWithFfmpeg } from './ffmpeg.js';
import { inTurns } from './in-turns.js';
import { LogMel, type LogMelFormat } from './log-mel.js';
import { inputFor, resample } from './resample.js';
import { readWavHeader } from './wav-header.js';
import { readSamples } from './wav.js';
import type { StopSignal } from '../stop-signal.js';

/** How a recording becomes a sample of the batch. */
export interface AudioFormat {
  /** Samples a second that the network takes. */
  readonly sampleRate: number;
  /** Samples of the waveform: what is longer is cut, what is shorter is followed by silence. */
  readonly samples: number;
  /** What the network sees of the waveform: itself, or its log-mel spectrogram. */
  readonly features: 'waveform' | LogMelFormat;
  /** A sample holds (feature - mean) / std. */
  readonly mean: number;
  readonly std: number;
}

const VALUES_A_TURN = 1 << 18;

// More decodes at once than there are cores only fight over them.
const decodes = new Lanes(availableParallelism());

/** Decodes recordings of one format into samples, with what can be computed once computed once. */
export class AudioDecoder {
  /** Values of a sample. */
  readonly sampleSize: number;
  /** Shape of a sample: `[samples]`, or that of the spectrogram. */
  readonly sampleShape: readonly number[];
  private readonly logMel: LogMel | undefined;

  /** @throws RangeError where the spectrogram's format contradicts itself */
  constructor(private readonly format: AudioFormat) {
    const { features, sampleRate, samples } = format;
    this.logMel = features === 'waveform' ? undefined : new LogMel(features, sampleRate, samples);
    this.sampleShape = this.logMel?.shape ?? [samples];
    this.sampleSize = this.sampleShape.reduce((size, axis) => size * axis, 1);
  }

  /**
   * Decodes one recording into a sample: WAV here, anything else by ffmpeg where it is installed; mixed to one channel,
   * resampled, cut or followed by silence.
   * @param bytes - the encoded file
   * @param target - the batch; the sample is written to `target[offset .. offset + sampleSize)`
   * @param offset - where in `target` the sample begins
   * @param name - names the recording in errors, for instance `audio[3]`
   * @param signal - ends the work where the answer is no longer wanted
   * @throws BallastError unsupported-media-type if it is no recording or would take an ffmpeg that is not installed,
   *   too-large if too much of it would have to be decoded, invalid-input if it is damaged or cut short,
   *   deadline-exceeded if ffmpeg takes too long; the signal's reason if that is aborted
   */
  async decode(
    bytes: Uint8Array,
    target: Float32Array,
    offset: number,
    name: string,
    signal?: StopSignal,
  ): Promise<void> {
    if (bytes.length === 0) throw new BallastError('invalid-input', `${name} is empty (0 bytes).`);
    await decodes.run(async () => {
      signal?.throwIfAborted();
      const waveform = await this.waveform(bytes, name, signal);
      signal?.throwIfAborted();
      await this.logMel?.compute(waveform, target, offset);
      await this.normalise(this.logMel === undefined ? waveform : undefined, target, offset);
    });
  }

  /** At most as many samples as the format has, at its rate. */
  private async waveform(
    bytes: Uint8Array,
    name: string,
    signal: StopSignal | undefined,
  ): Promise<Float32Array> {
    const { sampleRate, samples: most } = this.format;
    const header = readWavHeader(bytes, name);
    if (header?.encoding === undefined) return decodeWithFfmpeg(bytes, { sampleRate, most, name, signal });
    const needed = inputFor(most, header.sampleRate, sampleRate);
    const { samples } = await readSamples(bytes, header, header.encoding, name, needed);
    signal?.throwIfAborted();
    return resample(samples, header.sampleRate, sampleRate, most);
  }

  /** @param waveform - what the sample is made of; left out where it is there already */
  private async normalise(
    waveform: Float32Array | undefined,
    target: Float32Array,
    offset: number,
  ): Promise<void> {
    const { mean, std } = this.format;
    if (waveform === undefined && mean === 0 && std === 1) return;
    await inTurns(this.sampleSize, VALUES_A_TURN, (begin, end) => {
      for (let i = begin; i < end; i++) {
        const value = waveform === undefined ? target[offset + i] : i < waveform.length ? waveform[i] : 0;
        target[offset + i] = (value - mean) / std;
      }
    });
  }
}
