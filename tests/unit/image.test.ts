import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { pngBomb } from '../fixtures/png-bomb.js';
import { ImageDecoder, type ImageFormat } from '#ballast/runtime/image.js';

const FORMAT: ImageFormat = {
  width: 8,
  height: 4,
  fit: 'fill',
  layout: 'nchw',
  channels: 'rgb',
  mean: [0, 0, 0],
  std: [1, 1, 1],
};
const ORANGE = { r: 200, g: 100, b: 50 };
const orange = (): Sharp => sharp({ create: { width: 40, height: 20, channels: 3, background: ORANGE } });

const noise = sharp({
  create: {
    width: 99,
    height: 99,
    channels: 3,
    background: 'black',
    noise: { type: 'gaussian', mean: 128, sigma: 30 },
  },
});

async function decode(bytes: Uint8Array, format: Partial<ImageFormat> = {}): Promise<Float32Array> {
  const decoder = new ImageDecoder({ ...FORMAT, ...format });
  const out = new Float32Array(decoder.sampleSize);
  await decoder.decode(bytes, out, 0, 'image[0]');
  return out;
}

/** The first pixel of a decoded nchw sample, in levels of 0 to 255. */
const firstPixel = (sample: Float32Array): number[] =>
  [0, 1, 2].map((channel) => sample[channel * FORMAT.width * FORMAT.height] * 255);

const expectPixel = (sample: Float32Array, pixel: number[], within: number): void => {
  firstPixel(sample).forEach((level, channel) => {
    expect(Math.abs(level - pixel[channel])).toBeLessThanOrEqual(within);
  });
};

describe('ImageDecoder', () => {
  it.each([
    ['jpeg', orange().jpeg({ quality: 100 }), 2],
    ['png', orange().png(), 0.01],
    ['webp', orange().webp({ lossless: true }), 0.01],
    ['avif', orange().avif({ lossless: true }), 2],
    ['tiff', orange().tiff({ compression: 'lzw' }), 0.01],
    ['gif', orange().gif(), 3],
    ['16-bit png', orange().toColourspace('rgb16').png(), 2],
    ['16-bit tiff', orange().toColourspace('rgb16').tiff({ compression: 'lzw' }), 2],
  ])('reads %s', async (_, picture, within) => {
    expectPixel(await decode(await picture.toBuffer()), [200, 100, 50], within);
  });

  it('spreads grey over three channels and turns colour to grey', async () => {
    const grey = await sharp({ create: { width: 9, height: 9, channels: 3, background: '#808080' } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expectPixel(await decode(grey), [128, 128, 128], 0.01);
    const sample = await decode(await orange().png().toBuffer(), {
      channels: 'grey',
      mean: [0.5],
      std: [0.5],
    });
    expect(sample).toHaveLength(32);
    // Luminance of the colour, somewhere between its darkest and its brightest channel.
    expect(sample[0]).toBeGreaterThan((100 / 255 - 0.5) / 0.5);
    expect(sample[0]).toBeLessThan((200 / 255 - 0.5) / 0.5);
  });

  it('reads CMYK as colour', async () => {
    const [red, green, blue] = firstPixel(
      await decode(await orange().toColourspace('cmyk').jpeg().toBuffer()),
    );
    expect(red).toBeGreaterThan(green);
    expect(green).toBeGreaterThan(blue);
  });

  it('lays transparency over black', async () => {
    const half = {
      create: { width: 9, height: 9, channels: 4, background: { ...ORANGE, alpha: 0.5 } },
    } as const;
    expectPixel(await decode(await sharp(half).png().toBuffer()), [100, 50, 25], 1);
  });

  it('turns the picture as its EXIF says', async () => {
    // Left half black, right half white, marked as "turn a quarter clockwise": the top becomes black.
    const white = await sharp({ create: { width: 20, height: 20, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    const picture = await sharp({ create: { width: 40, height: 20, channels: 3, background: 'black' } })
      .composite([{ input: white, left: 20, top: 0 }])
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const sample = await decode(picture, { width: 4, height: 8 });
    expect(sample[0]).toBeLessThan(0.1);
    expect(sample[31]).toBeGreaterThan(0.9);
  });

  it('takes the first frame of an animation', async () => {
    const frames = await sharp(
      Buffer.concat([Buffer.alloc(16 * 16 * 3, 0), Buffer.alloc(16 * 16 * 3, 255)]),
      { raw: { width: 16, height: 32, channels: 3, pageHeight: 16 } },
    )
      .gif()
      .toBuffer();
    expectPixel(await decode(frames), [0, 0, 0], 1);
  });

  it('normalises by mean and deviation, and orders channels and axes as asked', async () => {
    const bytes = await orange().png().toBuffer();
    const mean = [0.1, 0.2, 0.3];
    const std = [0.5, 0.25, 0.2];
    const normal = [200, 100, 50].map((level, channel) => (level / 255 - mean[channel]) / std[channel]);
    const nchw = await decode(bytes, { mean, std });
    expect(nchw[0]).toBeCloseTo(normal[0], 5);
    expect(nchw[32]).toBeCloseTo(normal[1], 5);
    expect(nchw[64]).toBeCloseTo(normal[2], 5);
    const nhwc = await decode(bytes, { mean, std, layout: 'nhwc' });
    expect([...nhwc.slice(0, 3)]).toEqual([nchw[0], nchw[32], nchw[64]]);
    const bgr = await decode(bytes, { channels: 'bgr' });
    expectPixel(bgr, [50, 100, 200], 0.01);
  });

  it('crops, pads or stretches', async () => {
    const white = await sharp({ create: { width: 40, height: 10, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    const corner = async (fit: ImageFormat['fit']): Promise<number> =>
      (await decode(white, { width: 8, height: 8, fit }))[0];
    expect(await corner('fill')).toBe(1);
    expect(await corner('cover')).toBe(1);
    expect(await corner('contain')).toBe(0);
  });

  it.each([
    [
      'a text file',
      () => Promise.resolve(Buffer.from('no picture')),
      'unsupported-media-type',
      /send JPEG, PNG/,
    ],
    [
      'an SVG',
      () => Promise.resolve(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')),
      'unsupported-media-type',
      /JPEG/,
    ],
    ['nothing', () => Promise.resolve(Buffer.alloc(0)), 'invalid-input', /0 bytes/],
    [
      'a JPEG cut short',
      async () => (await noise.jpeg().toBuffer()).subarray(0, 3_000),
      'invalid-input',
      /cut short/,
    ],
  ])('refuses %s and names it', async (_, bytes, code, message) => {
    const refused = decode(await bytes());
    await expect(refused).rejects.toMatchObject({ code });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow('image[0]');
  });

  it('refuses a pixel bomb before it is decoded', async () => {
    const bomb = pngBomb(30_000);
    const begin = performance.now();
    await expect(decode(bomb)).rejects.toMatchObject({ code: 'too-large' });
    expect(performance.now() - begin).toBeLessThan(1_000);
  });
});
