import { availableParallelism } from 'node:os';
import sharp from 'sharp';
import { BallastError, messageOf } from '../errors.js';
import { Lanes } from './lanes.js';
import { decodeSmallJpeg } from './small-jpeg.js';

/** How a picture becomes a sample of the batch. */
export interface ImageFormat {
  /** Size in pixels of the sample. */
  readonly width: number;
  readonly height: number;
  readonly fit: 'fill' | 'cover' | 'contain';
  readonly layout: 'nchw' | 'nhwc';
  readonly channels: 'rgb' | 'bgr' | 'grey';
  /** Per channel, of pixels scaled to [0, 1]: a sample holds (pixel - mean) / std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Pictures with more pixels than this are refused before they are decoded. */
export const MAX_IMAGE_PIXELS = 100_000_000;

// libvips' own threads and its cache would fight with the inference threads for the same cores.
sharp.concurrency(1);
sharp.cache(false);
/** Decodes take turns here: more at once than there are cores only fight over locks and caches. */
export const decodes = new Lanes(availableParallelism());

sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Heif', 'Tiff', 'Nsgif'].map((format) => `VipsForeignLoad${format}`),
});

/** Decodes pictures of one format into samples, with what can be computed once computed once. */
export class ImageDecoder {
  /** Values of a sample: channels × height × width. */
  readonly sampleSize: number;
  /** Shape of a sample, as `layout` says. */
  readonly sampleShape: readonly number[];
  private readonly channelCount: number;
  /** The normalised value of each of the 256 levels, for each channel of the sample. */
  private readonly levels: readonly Float32Array[];

  constructor(private readonly format: ImageFormat) {
    const { width, height, channels, layout, mean, std } = format;
    this.channelCount = channels === 'grey' ? 1 : 3;
    this.sampleSize = this.channelCount * width * height;
    this.sampleShape =
      layout === 'nchw' ? [this.channelCount, height, width] : [height, width, this.channelCount];
    this.levels = Array.from({ length: this.channelCount }, (_, channel) =>
      Float32Array.from(
        { length: 256 },
        (__, level) => (level / 255 - mean[channel % mean.length]) / std[channel % std.length],
      ),
    );
  }

  /**
   * Decodes one picture (JPEG, PNG, WebP, AVIF, TIFF, GIF) into a sample: turned as its EXIF says, the first
   * frame of an animation, transparency over black, any colour space and depth to 8-bit sRGB, resized
   * (bilinear, antialiased) and normalised.
   * @param bytes - the encoded file
   * @param out - the batch; the sample is written to `out[offset .. offset + sampleSize)`
   * @param offset - where in `out` the sample begins
   * @param where - names the picture in errors, for instance `image[3]`
   * @throws BallastError unsupported-media-type if it is no picture, too-large if it has more than
   *   `MAX_IMAGE_PIXELS`, invalid-input if it is damaged
   */
  async decode(bytes: Uint8Array, out: Float32Array, offset: number, where: string): Promise<void> {
    const { width, height, fit, channels } = this.format;
    if (bytes.length === 0) throw new BallastError('invalid-input', `${where} is empty (0 bytes).`);
    const small = channels === 'grey' ? undefined : await decodeSmallJpeg(bytes, width, height);
    if (small !== undefined) {
      this.write(small, 4, out, offset);
      return;
    }
    try {
      const { data, info } = await decodes.run(() =>
        sharp(bytes, {
          failOn: 'error',
          limitInputPixels: MAX_IMAGE_PIXELS,
          sequentialRead: true,
        })
          .autoOrient()
          .flatten()
          .resize(width, height, { fit, kernel: 'linear', background: 'black' })
          .toColourspace(channels === 'grey' ? 'b-w' : 'srgb')
          .raw()
          .toBuffer({ resolveWithObject: true }),
      );
      this.write(data, info.channels, out, offset);
    } catch (error) {
      throw imageError(error, where);
    }
  }

  /**
   * Writes a sample from pixels that are decoded and of its size already.
   * @param pixels - `[height, width, pixelChannels]`, 8 bits, RGB or RGBA, or grey where there is one channel
   */
  write(
    pixels: Uint8Array | Uint8ClampedArray,
    pixelChannels: number,
    out: Float32Array,
    offset: number,
  ): void {
    const { layout, channels, width, height } = this.format;
    const count = this.channelCount;
    const [step, channelStep] = layout === 'nchw' ? [1, width * height] : [count, 1];
    for (let channel = 0; channel < count; channel++) {
      const level = this.levels[channel];
      const source = pixelChannels < 3 ? 0 : channels === 'bgr' ? 2 - channel : channel;
      let to = offset + channel * channelStep;
      for (let from = source; from < pixels.length; from += pixelChannels, to += step) {
        out[to] = level[pixels[from]]!;
      }
    }
  }
}

/** What is told of a picture that libvips cannot decode. */
export function imageError(error: unknown, where: string): BallastError {
  if (error instanceof BallastError) return error;
  const message = messageOf(error);
  if (/pixel limit/i.test(message)) {
    return new BallastError(
      'too-large',
      `${where} has more than ${MAX_IMAGE_PIXELS / 1e6} million pixels, the most that is decoded; send a smaller picture.`,
      { cause: error },
    );
  }
  if (/unsupported image format|blocked/i.test(message)) {
    return new BallastError(
      'unsupported-media-type',
      `${where} is not a picture that can be read; send JPEG, PNG, WebP, AVIF, TIFF or GIF.`,
      { cause: error },
    );
  }
  const detail = message.split('\n')[0].trim();
  return new BallastError(
    'invalid-input',
    `${where} is damaged or cut short and cannot be decoded (${detail}).`,
    {
      cause: error,
    },
  );
}
