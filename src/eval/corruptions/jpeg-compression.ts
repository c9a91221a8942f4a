import sharp from 'sharp';
import { decodeSmallJpeg } from '../../runtime/small-jpeg.js';
import { settingOf, type Picture, type Setting, type Settings } from './picture.js';

const QUALITIES: Settings<number> = { cifar: [80, 65, 58, 50, 40], imagenet: [25, 18, 15, 10, 7] };

/** A JPEG file and back, its colour at half the resolution (Hendrycks and Dietterich, ICLR 2019, `jpeg_compression`). */
export async function jpegCompression(picture: Picture, setting: Setting): Promise<Picture> {
  const { data, width, height } = picture;
  const file = await sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: settingOf(QUALITIES, setting), chromaSubsampling: '4:2:0', optimiseCoding: false })
    .toBuffer();
  const small = await decodeSmallJpeg(file, width, height);
  if (small !== undefined) return { data: withoutAlpha(small), width, height };
  const pixels = await sharp(file).raw().toBuffer();
  return { data: new Uint8Array(pixels), width, height };
}

function withoutAlpha(pixels: Uint8ClampedArray): Uint8Array {
  const data = new Uint8Array((pixels.length / 4) * 3);
  for (let from = 0, to = 0; from < pixels.length; from += 4) {
    data[to++] = pixels[from];
    data[to++] = pixels[from + 1];
    data[to++] = pixels[from + 2];
  }
  return data;
}
