import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it, vi } from 'vitest';
import { ImageDecoder } from '#ballast/runtime/image.js';
import { decodeSmallJpeg } from '#ballast/runtime/small-jpeg.js';

type Chroma = '4:2:0' | '4:4:4';

/** A JPEG of seeded noise over a gradient. */
async function picture(
  width: number,
  height: number,
  seed: number,
  quality = 90,
  chroma: Chroma = '4:2:0',
): Promise<Buffer> {
  let state = seed;
  const pixels = Buffer.from(
    Array.from({ length: width * height * 3 }, (_, i) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return ((i * 7) % 200) + (state % 50);
    }),
  );
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality, chromaSubsampling: chroma })
    .toBuffer();
}

describe('decodeSmallJpeg', () => {
  it('gives the pixels that sharp gives, bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 128 }),
        fc.integer({ min: 1, max: 128 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 20, max: 100 }),
        fc.constantFrom<Chroma>('4:2:0', '4:4:4'),
        async (width, height, seed, quality, chroma) => {
          const bytes = await picture(width, height, seed, quality, chroma);
          const rgba = await decodeSmallJpeg(bytes, width, height);
          const expected = await sharp(bytes).ensureAlpha().raw().toBuffer();
          expect(Buffer.from(rgba!).equals(expected)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['another size', async () => picture(40, 32, 1)],
    ['a large one', async () => picture(200, 200, 1), 200],
    [
      'EXIF',
      async () =>
        sharp(await picture(32, 32, 1))
          .withMetadata({ orientation: 6 })
          .toBuffer(),
    ],
    [
      'a progressive one',
      async () =>
        sharp(await picture(32, 32, 1))
          .jpeg({ progressive: true })
          .toBuffer(),
    ],
    [
      'grey',
      async () =>
        sharp(await picture(32, 32, 1))
          .toColourspace('b-w')
          .jpeg()
          .toBuffer(),
    ],
    [
      'CMYK',
      async () =>
        sharp(await picture(32, 32, 1))
          .toColourspace('cmyk')
          .jpeg()
          .toBuffer(),
    ],
    [
      'PNG',
      async () =>
        sharp(await picture(32, 32, 1))
          .png()
          .toBuffer(),
    ],
    ['text', () => Promise.resolve(Buffer.from('no picture'))],
    ['nothing', () => Promise.resolve(Buffer.alloc(0))],
  ])('leaves %s to sharp', async (_, make, size = 32) => {
    expect(await decodeSmallJpeg(await make(), size, size)).toBeUndefined();
  });

  it('leaves damaged files to sharp, in silence, and reads the next one', async () => {
    const complaint = vi.spyOn(console, 'error');
    const bytes = await picture(32, 32, 1);
    const damaged = Buffer.concat([bytes.subarray(0, 250), Buffer.from([0xff, 0xd9])]);
    expect(await decodeSmallJpeg(damaged, 32, 32)).toBeUndefined();
    expect(await decodeSmallJpeg(bytes.subarray(0, 400), 32, 32)).toBeUndefined();
    expect(await decodeSmallJpeg(bytes, 32, 32)).toBeDefined();
    expect(complaint).not.toHaveBeenCalled();
  });

  it('is what ImageDecoder takes for a picture of the right size, with the same sample as by way of PNG', async () => {
    const decoder = new ImageDecoder({
      width: 32,
      height: 32,
      fit: 'cover',
      layout: 'nchw',
      channels: 'bgr',
      mean: [0.1, 0.2, 0.3],
      std: [0.5, 0.25, 0.2],
    });
    const bytes = await picture(32, 32, 5);
    const samples = [new Float32Array(3072), new Float32Array(3072)];
    await decoder.decode(bytes, samples[0], 0, 'image[0]');
    await decoder.decode(await sharp(bytes).png().toBuffer(), samples[1], 0, 'image[0]');
    expect(samples[0]).toEqual(samples[1]);
  });
});
