import { SeededRandom } from '../../runtime/seeded-random.js';
import { BYTE_TO_UNIT, byteOf, settingOf, type Picture, type Setting, type Settings } from './picture.js';
import { plasma } from './plasma.js';

const FOGS: Settings<readonly [thickness: number, decay: number]> = {
  cifar: [
    [0.2, 3],
    [0.5, 3],
    [0.75, 2.5],
    [1, 2],
    [1.5, 1.75],
  ],
  imagenet: [
    [1.5, 2],
    [2, 2],
    [2.5, 1.7],
    [2.5, 1.5],
    [3, 1.4],
  ],
};

/**
 * Fog: a plasma fractal added, the sum brought back below the picture's brightest value (Hendrycks and Dietterich,
 * ICLR 2019, `fog`). The fractal is of the next power of two: 32 for 32 pixels, 256 for 224, as in the recipe.
 */
export function fog(picture: Picture, setting: Setting): Picture {
  const [thickness, decay] = settingOf(FOGS, setting);
  const { data, width, height } = picture;
  const size = 2 ** Math.max(1, Math.ceil(Math.log2(Math.max(width, height))));
  const field = plasma(size, decay, new SeededRandom(...setting.seeds));
  const brightest = BYTE_TO_UNIT[data.reduce((most, byte) => Math.max(most, byte), 0)];
  const scale = brightest / (brightest + thickness);
  const out = new Uint8Array(data.length);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const mist = thickness * field[y * size + x];
      for (let channel = 0; channel < 3; channel++, at++)
        out[at] = byteOf((BYTE_TO_UNIT[data[at]] + mist) * scale);
    }
  }
  return { ...picture, data: out };
}
