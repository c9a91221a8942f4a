import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  corrupt,
  corruptionNames,
  type CorruptionName,
  type Picture,
  type Scale,
  type Severity,
} from '#ballast/eval/corruptions/corruption.js';

const RUNS = { numRuns: 25 };
const SEVERITIES = [1, 2, 3, 4, 5] as const;
const ALIKE = ['defocus-blur', 'zoom-blur', 'brightness', 'contrast', 'pixelate', 'jpeg-compression'];
const byChance = corruptionNames.filter((name) => !ALIKE.includes(name));

/** Waves of a few pixels in all channels, so that every corruption finds something to change. */
function picture(width: number, height: number): Picture {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 120 + 70 * Math.sin(0.9 * x + (i % 3)) + 50 * Math.sin(0.5 * y - 0.2 * x);
  });
  return { data, width, height };
}

/** Compared as memory: the matchers look at each of thousands of bytes by itself. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

async function distance(name: CorruptionName, severity: Severity, scale: Scale): Promise<number> {
  const plain = picture(33, 31);
  const seeds = byChance.includes(name) ? 60 : 1;
  let sum = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const { data } = await corrupt(plain, name, severity, { scale, seed });
    sum += data.reduce((total, byte, i) => total + (byte - plain.data[i]) ** 2, 0);
  }
  return sum / seeds;
}

describe.each(corruptionNames)('%s', (name) => {
  const cases = fc.record({
    size: fc.oneof(
      fc.constantFrom([1, 1], [2, 1], [1, 3], [7, 50], [33, 31], [65, 3]),
      fc.tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 70 })),
    ),
    severity: fc.constantFrom(...SEVERITIES),
    scale: fc.constantFrom('cifar' as const, 'imagenet' as const),
    seed: fc.maxSafeNat(),
    bytes: fc.constantFrom('waves', 'black', 'white'),
  });

  it('keeps the size, leaves what it was given, and does the same for the same seed', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ size, severity, scale, seed, bytes }) => {
        const plain = picture(size[0], size[1]);
        if (bytes !== 'waves') plain.data.fill(bytes === 'white' ? 255 : 0);
        const before = plain.data.slice();
        const first = await corrupt(plain, name, severity, { scale, seed });
        const second = await corrupt(plain, name, severity, { scale, seed });
        expect(same(plain.data, before)).toBe(true);
        expect(first).toMatchObject({ width: size[0], height: size[1] });
        expect(first.data).toBeInstanceOf(Uint8Array);
        expect(first.data).toHaveLength(3 * size[0] * size[1]);
        expect(first.data.buffer).not.toBe(plain.data.buffer);
        expect(same(second.data, first.data)).toBe(true);
      }),
      RUNS,
    );
  });

  it.each(['cifar', 'imagenet'] as const)('changes a picture at every severity of %s', async (scale) => {
    const distances = await Promise.all(SEVERITIES.map((severity) => distance(name, severity, scale)));
    expect(Math.min(...distances)).toBeGreaterThan(0);
    // The recipe moves least by most where it kneads: its severity 1 at 32 pixels shifts the picture as a whole.
    if (name !== 'elastic-transform') expect(distances[4]).toBeGreaterThan(distances[0]);
  });
});

describe.each(byChance)('the chance of %s', (name) => {
  it.each([2, 5] as const)('is another for another seed at severity %i', async (severity) => {
    const plain = picture(33, 31);
    const made = await Promise.all(
      [0, 1, 2, 2 ** 32].map((seed) => corrupt(plain, name, severity, { scale: 'imagenet', seed })),
    );
    const different = new Set(made.map(({ data }) => Buffer.from(data).toString('base64')));
    expect(different.size).toBe(made.length);
  });
});

describe('severities of what only grows', () => {
  const growing = ['gaussian-noise', 'shot-noise', 'impulse-noise', 'brightness', 'contrast', 'fog'] as const;

  it.each(growing)('%s moves a picture further each time', async (name) => {
    for (const scale of ['cifar', 'imagenet'] as const) {
      const distances = await Promise.all(SEVERITIES.map((severity) => distance(name, severity, scale)));
      expect(distances).toEqual([...distances].sort((a, b) => a - b));
    }
  });
});

describe('frost', () => {
  it('adds bluish ice, brighter than the pane, that lies elsewhere for another seed', async () => {
    const black = { data: new Uint8Array(3 * 96 * 96), width: 96, height: 96 };
    for (let seed = 0; seed < 10; seed++) {
      const { data } = await corrupt(black, 'frost', 5, { scale: 'imagenet', seed });
      const channels = [0, 1, 2].map((channel) => data.filter((_, i) => i % 3 === channel));
      const [red, , blue] = channels.map(
        (bytes) => bytes.reduce((sum, byte) => sum + byte, 0) / bytes.length,
      );
      expect(blue).toBeGreaterThan(red);
      expect(blue).toBeGreaterThan(20);
      const brightest = channels[2].reduce((most, byte) => Math.max(most, byte), 0);
      const darkest = channels[2].reduce((least, byte) => Math.min(least, byte), 255);
      expect(brightest - darkest).toBeGreaterThan(60);
    }
  });
});
