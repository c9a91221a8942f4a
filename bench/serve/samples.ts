import sharp from 'sharp';
import { IMAGE, SAMPLE_SIZE } from './cell.js';

const PLANE = IMAGE.width * IMAGE.height;

/** The normalised value of each of the 256 levels, for each channel. */
const LEVELS = IMAGE.mean.map((mean, channel) =>
  Float32Array.from({ length: 256 }, (_, level) => (level / 255 - mean) / IMAGE.std[channel]),
);

/**
 * Decodes a picture with what a server needs that takes any picture: turned by its EXIF, transparency flattened,
 * in sRGB, of the network's size. It is what Ballast does, written out again here, so that a change there cannot
 * move what it is measured against.
 * @param out - where the normalised sample is written, channel by channel
 */
export async function decodeSample(picture: Uint8Array, out: Float32Array, offset: number): Promise<void> {
  const pixels = await sharp(picture, { failOn: 'error', sequentialRead: true })
    .autoOrient()
    .flatten()
    .resize(IMAGE.width, IMAGE.height, { fit: 'fill', kernel: 'linear' })
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  for (let channel = 0; channel < 3; channel++) {
    const level = LEVELS[channel];
    let to = offset + channel * PLANE;
    for (let from = channel; from < pixels.length; from += 3) out[to++] = level[pixels[from]];
  }
}

/** The pictures as the network takes them. */
export function decodeSamples(pictures: readonly Uint8Array[]): Promise<Float32Array[]> {
  return Promise.all(
    pictures.map(async (picture) => {
      const sample = new Float32Array(SAMPLE_SIZE);
      await decodeSample(picture, sample, 0);
      return sample;
    }),
  );
}
