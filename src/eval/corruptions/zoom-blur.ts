import { addClippedZoom } from './clipped-zoom.js';
import { bytesOf, settingOf, unitsOf, type Picture, type Setting, type Settings } from './picture.js';

/** How many zooms are laid over each other, and how much larger each is than the one before; the first is 1. */
const ZOOMS: Settings<readonly [count: number, step: number]> = {
  cifar: [
    [7, 0.01],
    [12, 0.01],
    [16, 0.01],
    [21, 0.01],
    [26, 0.01],
  ],
  imagenet: [
    [12, 0.01],
    [16, 0.01],
    [11, 0.02],
    [13, 0.02],
    [11, 0.03],
  ],
};

/** A camera that comes nearer: the mean of zooms into the middle (Hendrycks and Dietterich, ICLR 2019, `zoom_blur`). */
export function zoomBlur(picture: Picture, setting: Setting): Picture {
  const [count, step] = settingOf(ZOOMS, setting);
  const { data, width, height } = picture;
  const units = unitsOf(data);
  const sum = units.slice();
  // Steps as numpy.arange rounds them: a factor a little larger or smaller can cut out another row.
  const increment = 1 + step - 1;
  for (let i = 0; i < count; i++) {
    addClippedZoom(units, { width, height, channels: 3 }, 1 + i * increment, sum);
  }
  for (let i = 0; i < sum.length; i++) sum[i] /= count + 1;
  return { ...picture, data: bytesOf(sum) };
}
