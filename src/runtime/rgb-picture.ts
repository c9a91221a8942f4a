import sharp from 'sharp';
import { BallastError } from '../errors.js';
import { decodes, imageError, MAX_IMAGE_PIXELS } from './image.js';

/** A picture as bytes. */
export interface RgbPicture {
  /** `[height * width * 3]`, RGB, from 0 to 255. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** A decoded picture, with the size that it had in its file. */
export interface DecodedPicture extends RgbPicture {
  /** Pixels of the whole picture, turned as its EXIF says; more than `width` where it was made smaller. */
  readonly fullWidth: number;
  readonly fullHeight: number;
}

/**
 * Decodes one picture whole, as ImageDecoder does: turned as its EXIF says, the first frame of an animation, transparency
 * over black, any colour space and depth to 8-bit sRGB.
 * @param maxSide - pixels of the longer side; larger pictures are made smaller
 * @param where - names the picture in errors, for instance `image[3]`
 * @throws BallastError as ImageDecoder.decode
 */
export async function decodePicture(
  bytes: Uint8Array,
  maxSide: number,
  where: string,
): Promise<DecodedPicture> {
  if (bytes.length === 0) throw new BallastError('invalid-input', `${where} is empty (0 bytes).`);
  try {
    return await decodes.run(async () => {
      const options = {
        failOn: 'error',
        limitInputPixels: MAX_IMAGE_PIXELS,
        sequentialRead: true,
      } as const;
      const { autoOrient: full } = await sharp(bytes, options).metadata();
      const { data, info } = await sharp(bytes, options)
        .autoOrient()
        .flatten()
        .resize(maxSide, maxSide, { fit: 'inside', withoutEnlargement: true, kernel: 'linear' })
        .toColourspace('srgb')
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      const { width, height } = info;
      return {
        ...{ data: info.channels === 3 ? data : tripled(data), width, height },
        ...{ fullWidth: full.width, fullHeight: full.height },
      };
    });
  } catch (error) {
    throw imageError(error, where);
  }
}

/** A picture at another size, bilinear and antialiased. */
export async function resized(
  { data, width, height }: RgbPicture,
  to: { readonly width: number; readonly height: number },
): Promise<RgbPicture> {
  if (to.width === width && to.height === height) return { data, width, height };
  const pixels = await decodes.run(() =>
    sharp(data, { raw: { width, height, channels: 3 } })
      .resize(to.width, to.height, { fit: 'fill', kernel: 'linear' })
      .raw()
      .toBuffer(),
  );
  return { data: pixels, ...to };
}

/** Grey as RGB. */
function tripled(grey: Uint8Array): Uint8Array {
  const data = new Uint8Array(grey.length * 3);
  for (let i = 0; i < grey.length; i++) data.fill(grey[i], 3 * i, 3 * i + 3);
  return data;
}
