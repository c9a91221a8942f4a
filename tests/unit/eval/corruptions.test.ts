import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  corrupt,
  corruptionNames,
  groupOf,
  scaleFor,
  type CorruptionName,
  type CorruptOptions,
  type Picture,
  type Scale,
  type Severity,
} from '#ballast/eval/corruptions/corruption.js';
import { motionBlurAlong } from '#ballast/eval/corruptions/motion-blur.js';

interface Statistics {
  readonly mean: readonly number[];
  readonly variance: readonly number[];
  readonly distance: number;
}

/** What models/train/corruptions.py wrote. */
interface Golden {
  readonly severities: readonly Severity[];
  readonly angles: readonly number[];
  readonly rows: readonly CorruptionName[];
  readonly pictures: readonly {
    readonly file: string;
    readonly scale: Scale;
    readonly statistics?: Readonly<Record<string, Statistics>>;
  }[];
}

const FOLDER = new URL('../../golden/corruptions/', import.meta.url);
const golden = JSON.parse(await readFile(new URL('golden.json', FOLDER), 'utf8')) as Golden;

/** Over how many seeds a mean settles: fog is one draw a picture, noise one a pixel. */
const SEEDS: Partial<Record<CorruptionName, number>> = {
  'glass-blur': 30,
  'motion-blur': 300,
  snow: 500,
  fog: 2500,
  'elastic-transform': 500,
};
const FEWEST_SEEDS = 40;

async function load(file: string): Promise<Picture> {
  const png = await readFile(new URL(file, FOLDER));
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), width: info.width, height: info.height };
}

function crop({ data, width }: Picture, left: number, top: number, tile: Picture): Picture {
  const rows = Array.from({ length: tile.height }, (_, y) => {
    const begin = 3 * ((top + y) * width + left);
    return [...data.subarray(begin, begin + 3 * tile.width)];
  });
  return { data: Uint8Array.from(rows.flat()), width: tile.width, height: tile.height };
}

function meanDistance(a: Picture, b: Picture): number {
  return a.data.reduce((sum, byte, i) => sum + Math.abs(byte - b.data[i]), 0) / a.data.length;
}

async function statisticsOf(
  plain: Picture,
  name: CorruptionName,
  severity: Severity,
  scale: Scale,
): Promise<Statistics> {
  const [sums, squares] = [
    [0, 0, 0],
    [0, 0, 0],
  ];
  let moved = 0;
  const seeds = SEEDS[name] ?? FEWEST_SEEDS;
  for (let seed = 0; seed < seeds; seed++) {
    const { data } = await corrupt(plain, name, severity, { scale, seed });
    for (let i = 0; i < data.length; i++) {
      sums[i % 3] += data[i];
      squares[i % 3] += data[i] ** 2;
      moved += (data[i] - plain.data[i]) ** 2;
    }
  }
  const pixels = seeds * plain.width * plain.height;
  const mean = sums.map((sum) => sum / pixels);
  return {
    mean,
    variance: squares.map((square, channel) => square / pixels - mean[channel] ** 2),
    distance: moved / (3 * pixels),
  };
}

/** How far a number is from another, in parts of that. */
function off(actual: number, expected: number): number {
  return Math.abs(actual / expected - 1);
}

describe.each(golden.pictures)('at $file, $scale', ({ file, scale, statistics }) => {
  it.each(golden.rows)('makes of a picture by %s what the recipe makes of it', async (name) => {
    const [plain, sheet] = [await load(`${file}.png`), await load(`${file}-corrupted.png`)];
    for (const [column, severity] of golden.severities.entries()) {
      const expected = crop(sheet, column * plain.width, golden.rows.indexOf(name) * plain.height, plain);
      const actual =
        name === 'motion-blur'
          ? motionBlurAlong(plain, { scale, severity, seeds: [] }, golden.angles[column])
          : await corrupt(plain, name, severity, { scale, seed: 0 });
      expect(actual).toMatchObject({ width: plain.width, height: plain.height });
      // What a rounded sum lets fall to the next byte; a kernel that is off by a pixel is off by several levels.
      expect(meanDistance(actual, expected), `severity ${severity}`).toBeLessThan(0.5);
    }
  });

  it.runIf(statistics !== undefined).each(Object.keys(statistics ?? {}))(
    'has the mean and the variance of %s',
    async (key) => {
      const [name, severity] = key.split(' ') as [CorruptionName, string];
      const plain = await load(`${file}.png`);
      const expected = statistics![key];
      const actual = await statisticsOf(plain, name, Number(severity) as Severity, scale);
      for (const channel of [0, 1, 2]) {
        expect(off(actual.mean[channel], expected.mean[channel])).toBeLessThan(0.03);
        expect(off(actual.variance[channel], expected.variance[channel])).toBeLessThan(0.03);
      }
      expect(off(actual.distance, expected.distance)).toBeLessThan(0.05);
    },
    // Thousands of pictures, on machines that may be doing other work.
    120_000,
  );
});

describe('a corruption', () => {
  const grey: Picture = { data: new Uint8Array(3 * 4 * 5).fill(100), width: 4, height: 5 };

  it('is one of fifteen, in the order and the groups of the paper', () => {
    expect(corruptionNames).toHaveLength(15);
    expect(corruptionNames.map(groupOf).join(' ')).toBe(
      [...Array<string>(3).fill('noise'), ...Array<string>(4).fill('blur')]
        .concat(Array<string>(4).fill('weather'), Array<string>(4).fill('digital'))
        .join(' '),
    );
  });

  it('takes the settings that suit the size', async () => {
    expect(scaleFor(64, 64)).toBe('cifar');
    expect(scaleFor(65, 10)).toBe('imagenet');
    expect(scaleFor(10, 65)).toBe('imagenet');
    const plain = await load('32x32.png');
    const [unnamed, cifar, imagenet] = await Promise.all([
      corrupt(plain, 'contrast', 3, { seed: 0 }),
      corrupt(plain, 'contrast', 3, { seed: 0, scale: 'cifar' }),
      corrupt(plain, 'contrast', 3, { seed: 0, scale: 'imagenet' }),
    ]);
    expect(unnamed.data).toEqual(cifar.data);
    expect(unnamed.data).not.toEqual(imagenet.data);
  });

  it('makes black brighter as grey, and keeps white white', async () => {
    const picture = { data: Uint8Array.of(0, 0, 0, 255, 255, 255), width: 2, height: 1 };
    const { data } = await corrupt(picture, 'brightness', 1, { seed: 0, scale: 'imagenet' });
    expect([...data]).toEqual([25, 25, 25, 255, 255, 255]);
  });

  it.each([
    ['bytes', { ...grey, width: 5 }, 'fog', 1, { seed: 0 }, '5 × 5 pixels came with 60 bytes'],
    [
      'no pixels',
      { data: new Uint8Array(0), width: 0, height: 3 },
      'fog',
      1,
      { seed: 0 },
      'one pixel or more',
    ],
    ['a name', grey, 'hail', 1, { seed: 0 }, 'There is no corruption "hail"; there are gaussian-noise'],
    ['a name of objects', grey, 'toString', 1, { seed: 0 }, 'There is no corruption "toString"'],
    ['a severity', grey, 'fog', 6, { seed: 0 }, 'Severity 6 of fog: it must be 1, 2, 3, 4 or 5.'],
    ['a scale', grey, 'fog', 1, { seed: 0, scale: 'mnist' }, 'Scale "mnist" of fog'],
    ['a seed', grey, 'fog', 1, { seed: 0.5 }, 'Seed 0.5 of fog: it must be an integer of 0 or more.'],
  ])('refuses %s that cannot be', async (_, picture, name, severity, options, message) => {
    await expect(
      corrupt(picture, name as CorruptionName, severity as Severity, options as CorruptOptions),
    ).rejects.toMatchObject({ code: 'invalid-input', message: expect.stringContaining(message) as string });
  });
});
