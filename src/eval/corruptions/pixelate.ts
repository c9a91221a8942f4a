import { settingOf, type Picture, type Setting, type Settings } from './picture.js';

/** The part of each side that is left. */
const PARTS: Settings<number> = {
  cifar: [0.95, 0.9, 0.85, 0.75, 0.65],
  imagenet: [0.6, 0.5, 0.4, 0.3, 0.25],
};

/** Too few pixels: made smaller and large again (Hendrycks and Dietterich, ICLR 2019, `pixelate`). */
export function pixelate(picture: Picture, setting: Setting): Picture {
  const part = settingOf(PARTS, setting);
  const { width, height } = picture;
  const small = boxResize(
    picture,
    Math.max(1, Math.floor(width * part)),
    Math.max(1, Math.floor(height * part)),
  );
  return boxResize(small, width, height);
}

/** Which inputs an output of one axis is the mean of: `first` to `end - 1`. */
interface Boxes {
  readonly first: Int32Array;
  readonly end: Int32Array;
}

/** Resizes as Pillow's box filter does: plain means of whole pixels, of rows and then of columns, rounded each time. */
function boxResize({ data, width, height }: Picture, toWidth: number, toHeight: number): Picture {
  const across = boxesOf(width, toWidth);
  const narrow = new Uint8Array(3 * toWidth * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < toWidth; x++) {
      const [from, to] = [3 * (y * width + across.first[x]), 3 * (y * width + across.end[x])];
      for (let channel = 0; channel < 3; channel++) narrow[at++] = meanOf(data, from + channel, to, 3);
    }
  }
  const down = boxesOf(height, toHeight);
  const row = 3 * toWidth;
  const out = new Uint8Array(row * toHeight);
  for (let y = 0, at = 0; y < toHeight; y++) {
    const [from, to] = [row * down.first[y], row * down.end[y]];
    for (let i = 0; i < row; i++) out[at++] = meanOf(narrow, from + i, to, row);
  }
  return { data: out, width: toWidth, height: toHeight };
}

function meanOf(bytes: Uint8Array, from: number, to: number, step: number): number {
  let [sum, count] = [0, 0];
  for (let at = from; at < to; at += step) {
    sum += bytes[at];
    count++;
  }
  return Math.floor(sum / count + 0.5);
}

function boxesOf(from: number, to: number): Boxes {
  const ratio = from / to;
  const scale = Math.max(ratio, 1);
  const [first, end] = [new Int32Array(to), new Int32Array(to)];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * ratio;
    const inside = (at: number): boolean => {
      const distance = (at - centre + 0.5) / scale;
      return distance > -0.5 && distance <= 0.5;
    };
    let at = Math.max(0, Math.floor(centre - scale / 2 + 0.5));
    const last = Math.min(from, Math.floor(centre + scale / 2 + 0.5)) - 1;
    while (at < last && !inside(at)) at++;
    let stop = at + 1;
    while (stop <= last && inside(stop)) stop++;
    [first[i], end[i]] = [at, stop];
  }
  return { first, end };
}
