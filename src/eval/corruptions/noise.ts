import { GaussianNoise } from '../../runtime/gaussian-noise.js';
import { SeededRandom } from '../../runtime/seeded-random.js';
import { BYTE_TO_UNIT, byteOf, settingOf, type Picture, type Setting, type Settings } from './picture.js';
import { drawPhotons, poissonTable } from './poisson-table.js';

/** Standard deviations, of pixels in [0, 1]. */
const DEVIATIONS: Settings<number> = {
  cifar: [0.04, 0.06, 0.08, 0.09, 0.1],
  imagenet: [0.08, 0.12, 0.18, 0.26, 0.38],
};

/** Photons that come from white. */
const PHOTONS: Settings<number> = { cifar: [500, 250, 100, 75, 50], imagenet: [60, 25, 12, 5, 3] };

/** The part of all values that is lost. */
const AMOUNTS: Settings<number> = {
  cifar: [0.01, 0.02, 0.03, 0.05, 0.07],
  imagenet: [0.03, 0.06, 0.09, 0.17, 0.27],
};

/** Low light: a normal number added to each value (Hendrycks and Dietterich, ICLR 2019, `gaussian_noise`). */
export function gaussianNoise(picture: Picture, setting: Setting): Picture {
  const deviation = settingOf(DEVIATIONS, setting);
  const noise = new GaussianNoise(...setting.seeds);
  return {
    ...picture,
    data: picture.data.map((byte) => byteOf(BYTE_TO_UNIT[byte] + deviation * noise.next())),
  };
}

/** The discreteness of light: each value becomes a photon count (ibid., `shot_noise`). */
export function shotNoise(picture: Picture, setting: Setting): Picture {
  const photons = settingOf(PHOTONS, setting);
  const table = poissonTable(photons);
  const random = new SeededRandom(...setting.seeds);
  const brightness = Uint8Array.from({ length: table.levels }, (_, count) => byteOf(count / photons));
  return {
    ...picture,
    data: picture.data.map((byte) => brightness[drawPhotons(table, byte, random.uniform())]),
  };
}

/** Bit errors: some values become 0 or 255, each channel by itself (ibid., `impulse_noise`; skimage's salt and pepper). */
export function impulseNoise(picture: Picture, setting: Setting): Picture {
  const amount = settingOf(AMOUNTS, setting);
  const random = new SeededRandom(...setting.seeds);
  return {
    ...picture,
    data: picture.data.map((byte) => {
      const draw = random.uniform();
      if (draw >= amount) return byte;
      return draw < amount / 2 ? 0 : 255;
    }),
  };
}
