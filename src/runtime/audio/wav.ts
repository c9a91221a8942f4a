import { BallastError } from '../../errors.js';
import { inTurns } from './in-turns.js';
import { readWavHeader, type WavEncoding, type WavHeader } from './wav-header.js';

/** Longer recordings are refused: 23 minutes at 48 kHz. */
export const MAX_AUDIO_SAMPLES = 1 << 26;

/** Values that are read in a turn. */
const VALUES_A_TURN = 65_536;

/** Sound in one channel. */
export interface Waveform {
  /** In [-1, 1]. */
  readonly samples: Float32Array;
  /** Samples a second. */
  readonly sampleRate: number;
}

/**
 * Decodes a WAV file: PCM of 8 to 32 bits, IEEE float, A-law or µ-law, any rate and number of channels.
 * @param bytes - the file: RIFF, RF64 or BW64, its chunks in any order
 * @param name - names the file in errors, for instance `audio[3]`
 * @param most - samples a channel that are wanted; later ones are not read. All of them where left out.
 * @returns the mean of the channels. Floats beyond [-1, 1] are clipped, those that are no number are 0.
 * @throws BallastError unsupported-media-type if it is no WAV file or compressed otherwise, too-large if more than
 *   `MAX_AUDIO_SAMPLES` samples are wanted and there, invalid-input if it is damaged or cut short
 */
export async function decodeWav(bytes: Uint8Array, name: string, most = Infinity): Promise<Waveform> {
  const header = readWavHeader(bytes, name);
  if (header?.encoding === undefined) throw notPlainWav(header, name);
  return readSamples(bytes, header, header.encoding, name, most);
}

/** The samples that a header describes, as `decodeWav` gives them. */
export async function readSamples(
  bytes: Uint8Array,
  header: WavHeader,
  encoding: WavEncoding,
  name: string,
  most: number,
): Promise<Waveform> {
  const { channels, sampleRate, bytesPerValue, dataBegin } = header;
  const frames = Math.min(header.frames, most);
  if (frames > MAX_AUDIO_SAMPLES) {
    throw new BallastError(
      'too-large',
      `${name} has ${header.frames} samples, ${MAX_AUDIO_SAMPLES} is the most that is decoded; send a shorter recording.`,
    );
  }
  const read = READERS[encoding];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(frames);
  await inTurns(frames, Math.max(1, Math.floor(VALUES_A_TURN / channels)), (begin, end) => {
    let at = dataBegin + begin * channels * bytesPerValue;
    for (let frame = begin; frame < end; frame++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++, at += bytesPerValue) sum += read(view, at);
      samples[frame] = sum / channels;
    }
  });
  return { samples, sampleRate };
}

function notPlainWav(header: WavHeader | undefined, name: string): BallastError {
  return new BallastError(
    'unsupported-media-type',
    header === undefined
      ? `${name} is not a WAV file.`
      : `${name} is a WAV file of format ${header.description}; PCM, IEEE float, A-law and µ-law are decoded.`,
  );
}

/** One value of each encoding, as a number in [-1, 1]. */
const READERS: Readonly<Record<WavEncoding, (view: DataView, at: number) => number>> = {
  pcm8: (view, at) => (view.getUint8(at) - 128) / 128,
  pcm16: (view, at) => view.getInt16(at, true) / 32_768,
  pcm24: (view, at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 8_388_608,
  pcm32: (view, at) => view.getInt32(at, true) / 2_147_483_648,
  float32: (view, at) => clip(view.getFloat32(at, true)),
  float64: (view, at) => clip(view.getFloat64(at, true)),
  alaw: (view, at) => A_LAW[view.getUint8(at)],
  mulaw: (view, at) => MU_LAW[view.getUint8(at)],
};

function clip(value: number): number {
  return value >= -1 ? Math.min(value, 1) : value < -1 ? -1 : 0;
}

/** ITU-T G.711: a sign, an exponent and four bits of the mantissa; every even bit is turned. */
const A_LAW = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = code ^ 0x55;
  const exponent = (bits >> 4) & 7;
  const mantissa = ((bits & 15) << 4) + 8;
  const level = exponent === 0 ? mantissa : (mantissa + 256) << (exponent - 1);
  return ((bits & 128) === 0 ? -level : level) / 32_768;
});

/** ITU-T G.711: as A-law, but with all bits turned and a bias of 132. */
const MU_LAW = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 255;
  const level = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  return ((bits & 128) === 0 ? level : -level) / 32_768;
});
