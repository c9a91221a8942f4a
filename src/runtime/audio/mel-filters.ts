/** Which frequencies a mel spectrogram has, and how its filters are scaled. */
export interface MelScale {
  readonly nMels: number;
  /** Where the lowest filter begins and the highest one ends, in Hz. */
  readonly fMin: number;
  readonly fMax: number;
  /** slaney: linear below 1 kHz, logarithmic above; htk: 2595 log10(1 + f / 700). */
  readonly melScale: 'slaney' | 'htk';
  /** slaney: filters of equal area; none: of equal height, 1. */
  readonly norm: 'slaney' | 'none';
}

/** A triangle over some bins of a spectrum. */
export interface MelFilter {
  /** The first bin that it weighs. */
  readonly begin: number;
  /** Of the bins from there on. */
  readonly weights: Float64Array;
}

/**
 * The filters of librosa.filters.mel and of torchaudio.functional.melscale_fbanks.
 * @param scale - the frequencies
 * @param bins - bins of the spectrum, from 0 Hz to half the sample rate
 * @param sampleRate - in Hz
 * @returns nMels filters; one that is too narrow to hold a bin is empty
 */
export function melFilters(scale: MelScale, bins: number, sampleRate: number): MelFilter[] {
  const { nMels, fMin, fMax, norm } = scale;
  const { toMel, toHz } = SCALES[scale.melScale];
  const [low, high] = [toMel(fMin), toMel(fMax)];
  const edges = Array.from({ length: nMels + 2 }, (_, i) => toHz(low + ((high - low) * i) / (nMels + 1)));
  const frequency = (bin: number): number => ((sampleRate / 2) * bin) / (bins - 1);
  return Array.from({ length: nMels }, (_, mel) => {
    const [left, centre, right] = edges.slice(mel, mel + 3);
    const height = norm === 'slaney' ? 2 / (right - left) : 1;
    const weigh = (bin: number): number => {
      const [up, down] = [frequency(bin) - left, right - frequency(bin)];
      return height * Math.max(0, Math.min(up / (centre - left), down / (right - centre)));
    };
    const begin = Math.min(bins, Math.max(0, Math.ceil((left / (sampleRate / 2)) * (bins - 1))));
    const end = Math.min(bins, Math.floor((right / (sampleRate / 2)) * (bins - 1)) + 1);
    return {
      begin,
      weights: Float64Array.from({ length: Math.max(0, end - begin) }, (__, i) => weigh(begin + i)),
    };
  });
}

/** Hz a mel below 1 kHz, the mel of 1 kHz, and mels that the frequency takes to grow by a factor of e above. */
const HZ_A_MEL = 200 / 3;
const KNEE = 1000 / HZ_A_MEL;
const MELS_A_FOLD = 27 / Math.log(6.4);

const SCALES = {
  slaney: {
    toMel: (hz: number): number => (hz < 1000 ? hz / HZ_A_MEL : KNEE + Math.log(hz / 1000) * MELS_A_FOLD),
    toHz: (mel: number): number =>
      mel < KNEE ? mel * HZ_A_MEL : 1000 * Math.exp((mel - KNEE) / MELS_A_FOLD),
  },
  htk: {
    toMel: (hz: number): number => 2595 * Math.log10(1 + hz / 700),
    toHz: (mel: number): number => 700 * (10 ** (mel / 2595) - 1),
  },
};
