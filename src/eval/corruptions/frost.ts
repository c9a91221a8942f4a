import { iceOn } from './ice.js';
import { settingOf, type Picture, type Setting, type Settings } from './picture.js';

/** What is left of the picture, and how much of the ice is added. */
const FROSTS: Settings<readonly [picture: number, ice: number]> = {
  cifar: [
    [1, 0.2],
    [1, 0.3],
    [0.9, 0.4],
    [0.85, 0.4],
    [0.75, 0.45],
  ],
  imagenet: [
    [1, 0.4],
    [0.8, 0.6],
    [0.7, 0.7],
    [0.65, 0.7],
    [0.6, 0.75],
  ],
};

/**
 * Frost on the lens (Hendrycks and Dietterich, ICLR 2019, `frost`), with their weights. Their ice is cut out of five
 * photographs, which are not part of this project: this draws it instead. Accuracy under it is therefore not
 * comparable with published figures for frost, as it is for the other corruptions.
 */
export function frost(picture: Picture, setting: Setting): Picture {
  const [kept, added] = settingOf(FROSTS, setting);
  const { data, width, height } = picture;
  const ice = iceOn(width, height, setting.seeds);
  const out = new Uint8Array(data.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.min(kept * data[i] + added * ice[i], 255);
  return { ...picture, data: out };
}
