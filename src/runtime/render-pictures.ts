import sharp from 'sharp';
import type { PictureSpace } from './picture-space.js';
import type { Tensor } from './tensor.js';

/** Small pictures are enlarged to at least this height. */
const LEAST_HEIGHT = 256;
const GAP = 8;

/**
 * Draws pictures side by side, on white.
 * @param pictures - float32, a batch of one each
 * @returns a PNG
 */
export async function renderPictures(pictures: readonly Tensor[], how: PictureSpace): Promise<Uint8Array> {
  const factor = Math.max(1, Math.ceil(LEAST_HEIGHT / how.height));
  const [width, height] = [how.width * factor, how.height * factor];
  const panels = await Promise.all(
    pictures.map(async (picture, index) => ({
      input: await sharp(pixelsOf(picture, how), {
        raw: { width: how.width, height: how.height, channels: 3 },
      })
        .resize(width, height, { kernel: 'nearest' })
        .png()
        .toBuffer(),
      left: index * (width + GAP),
      top: 0,
    })),
  );
  const total = pictures.length * (width + GAP) - GAP;
  return sharp({ create: { width: total, height, channels: 3, background: 'white' } })
    .composite(panels)
    .png()
    .toBuffer();
}

/** RGB of 8 bits, row by row. */
function pixelsOf(
  { data }: Tensor,
  { width, height, channels, layout, order, low, high }: PictureSpace,
): Uint8Array {
  const values = data as Float32Array;
  const area = width * height;
  const pixels = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let colour = 0; colour < 3; colour++) {
      const channel = order === 'grey' ? 0 : order === 'bgr' ? 2 - colour : colour;
      const value = values[layout === 'nchw' ? channel * area + i : i * channels + channel];
      const share = (value - low[channel]) / (high[channel] - low[channel]);
      pixels[3 * i + colour] = Math.round(255 * Math.min(1, Math.max(0, share)));
    }
  }
  return pixels;
}
