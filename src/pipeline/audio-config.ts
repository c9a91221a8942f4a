import { z } from 'zod';
import { framesOf } from '../runtime/audio/log-mel.js';
import { MAX_AUDIO_SAMPLES } from '../runtime/audio/wav.js';

const melLogSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('db'),
    /** What 0 dB is: a value of the spectrogram, or its loudest one. */
    ref: z.union([z.number().positive(), z.literal('max')]).default(1),
    /** Quieter values count as this one. */
    amin: z.number().positive().default(1e-10),
    /** Values further below the loudest of the recording are raised to there; null: none are. */
    topDb: z.number().positive().nullable().default(80),
  }),
  z.strictObject({
    /** ln(x + offset) */
    kind: z.literal('natural'),
    offset: z.number().positive().default(1e-6),
  }),
]);

const logMelSchema = z.strictObject({
  kind: z.literal('log-mel'),
  /** Samples of a transform; left out, the power of two that is nearest to 28 ms. */
  nFft: z.int().min(16).max(32_768).optional(),
  /** Samples of the Hann window; left out, nFft. */
  winLength: z.int().min(2).optional(),
  /** Samples from one frame to the next; left out, 10 ms. */
  hopLength: z.int().min(1).optional(),
  /** Whether frames are around their time, the waveform padded at both ends, or begin at it. */
  center: z.boolean().default(true),
  /** reflect: padded with its mirror image, as torchaudio does; constant: with silence, as librosa does. */
  padMode: z.enum(['reflect', 'constant']).default('reflect'),
  /** 2: of the power; 1: of the magnitude. */
  power: z.union([z.literal(1), z.literal(2)]).default(2),
  nMels: z.int().min(1).max(512).default(64),
  /** Hz; fMax is half the sample rate where left out. */
  fMin: z.number().min(0).default(0),
  fMax: z.number().positive().optional(),
  melScale: z.enum(['slaney', 'htk']).default('slaney'),
  norm: z.enum(['slaney', 'none']).default('slaney'),
  log: melLogSchema.prefault({ kind: 'db' }),
  /** Frames that the network takes, the first ones; left out, all of them. */
  frames: z.int().min(1).optional(),
  /** Order of the axes of a sample: [M, T], [1, M, T] or [T, M]. */
  layout: z.enum(['mels-frames', 'channel-mels-frames', 'frames-mels']).default('channel-mels-frames'),
});

/** A bare `waveform` is short for `{ kind: waveform }`, so that mistakes in a spectrogram's keys are named. */
const featuresSchema = z.preprocess(
  (features) => (features === 'waveform' ? { kind: features } : features),
  z.discriminatedUnion('kind', [z.strictObject({ kind: z.literal('waveform') }), logMelSchema], {
    error: 'it must be waveform, or { kind: log-mel } with the keys of a spectrogram',
  }),
);

/** The keys of an input that takes encoded recordings. */
const audioFields = z.strictObject({
  kind: z.literal('audio'),
  /** The ONNX input that it feeds; may be left out where the model has one input or one of this name. */
  tensor: z.string().optional(),
  /** Samples a second that recordings are resampled to. */
  sampleRate: z.int().min(1_000).max(192_000),
  /** What is longer is cut, what is shorter is followed by silence. Left out, as long as `features.frames` says. */
  seconds: z.number().positive().max(300).optional(),
  /** What the network sees: the waveform, or its log-mel spectrogram. */
  features: featuresSchema.prefault({ kind: 'log-mel' }),
  /** Of the waveform or the spectrogram: the network sees (value - mean) / std. */
  mean: z.number().default(0),
  std: z.number().positive().default(1),
});

/** An input that takes encoded recordings: decoded, mixed to one channel, resampled and transformed as written here. */
export const audioInputSchema = audioFields
  .transform(({ seconds, ...input }) => {
    const features =
      input.features.kind === 'waveform' ? input.features.kind : complete(input.features, input.sampleRate);
    return { ...input, features, samples: samplesOf(seconds, features, input.sampleRate) };
  })
  .superRefine(({ features, samples, sampleRate }, context) => {
    const mistake = (path: string[], right: string): void => {
      context.addIssue({ code: 'custom', path, message: `it must be ${right}` });
    };
    if (samples < 1) mistake(['seconds'], 'how long a sample is');
    if (samples > MAX_AUDIO_SAMPLES) mistake(['seconds'], `at most ${MAX_AUDIO_SAMPLES} samples`);
    if (features === 'waveform' || samples < 1) return;
    const { nFft, winLength, hopLength, fMin, fMax, nMels, frames } = features;
    const most = framesOf(features, samples);
    if (winLength > nFft) mistake(['features', 'winLength'], `at most nFft, which is ${nFft}`);
    if (hopLength > sampleRate) mistake(['features', 'hopLength'], `at most a second, ${sampleRate} samples`);
    if (fMax > sampleRate / 2)
      mistake(['features', 'fMax'], `at most half of sampleRate, ${sampleRate / 2} Hz`);
    if (fMin >= fMax) mistake(['features', 'fMin'], `less than fMax, ${fMax} Hz`);
    if (most < 1) mistake(['seconds'], `at least ${nFft / sampleRate} for one frame of ${nFft} samples`);
    else if ((frames ?? 0) > most)
      mistake(['features', 'frames'], `at most ${most}, what ${samples} samples give`);
    if (nMels * (frames ?? most) > MAX_AUDIO_SAMPLES) {
      mistake(['features'], `at most ${MAX_AUDIO_SAMPLES} values a sample`);
    }
  });

type LogMelInput = z.output<typeof logMelSchema>;

/** With what the sample rate decides. */
function complete(features: LogMelInput, sampleRate: number) {
  const nFft = features.nFft ?? 2 ** Math.round(Math.log2(0.028 * sampleRate));
  return {
    ...features,
    nFft,
    winLength: features.winLength ?? nFft,
    hopLength: features.hopLength ?? Math.round(sampleRate / 100),
    fMax: features.fMax ?? sampleRate / 2,
  };
}

/** Samples of the waveform; 0 where nothing says how long it is. */
function samplesOf(
  seconds: number | undefined,
  features: 'waveform' | ReturnType<typeof complete>,
  sampleRate: number,
): number {
  if (seconds !== undefined) return Math.round(seconds * sampleRate);
  if (features === 'waveform' || features.frames === undefined) return 0;
  const { frames, hopLength, nFft, center } = features;
  return center ? frames * hopLength : (frames - 1) * hopLength + nFft;
}

export type AudioInput = z.output<typeof audioInputSchema>;
