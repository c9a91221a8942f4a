import { afterEach, describe, expect, it } from 'vitest';
import { CorruptionThreads, seedOfPicture } from '#ballast/eval/corruption-threads.js';
import { corrupt, type Picture } from '#ballast/eval/corruptions/corruption.js';

/** Slopes, brighter for each place in the row. */
function picture(place: number, side = 24): Picture {
  const data = Uint8Array.from({ length: 3 * side * side }, (_, i) => (i * 3 + place * 5) % 256);
  return { data, width: side, height: side };
}

async function collect(pictures: AsyncIterable<Picture>): Promise<Picture[]> {
  const all: Picture[] = [];
  for await (const made of pictures) all.push(made);
  return all;
}

let threads: CorruptionThreads;

function start(count: number): CorruptionThreads {
  threads = new CorruptionThreads(count);
  return threads;
}

afterEach(() => threads.close());

describe('threads that corrupt pictures', () => {
  it.each([1, 3])('give with %i of them what one thread gives, in order', async (count) => {
    // Large ones take long, small ones go by: order is not that of completion.
    const plain = Array.from({ length: 60 }, (_, place) => picture(place, place % 7 === 0 ? 150 : 9));
    const made = await collect(start(count).corruptMany(plain, 'glass-blur', 4, { seed: 5 }));
    const expected = await Promise.all(
      plain.map((one, index) => corrupt(one, 'glass-blur', 4, { seed: seedOfPicture(5, index) })),
    );
    expect(made.map(({ width }) => width)).toEqual(plain.map(({ width }) => width));
    expect(made.every(({ data }, i) => Buffer.compare(data, expected[i].data) === 0)).toBe(true);
    expect(plain[0].data.byteLength).toBe(3 * 150 * 150);
  });

  it('take pictures as they come, from a source that ends with those who ask', async () => {
    let [asked, ended] = [0, false];
    async function* source(): AsyncGenerator<Picture> {
      try {
        for (;;) {
          await Promise.resolve();
          yield picture(asked++);
        }
      } finally {
        ended = true;
      }
    }
    let seen = 0;
    for await (const made of start(2).corruptMany(source(), 'jpeg-compression', 1, { seed: 0 })) {
      expect(made.width).toBe(24);
      if (++seen === 5) break;
    }
    expect(ended).toBe(true);
    expect(asked).toBeGreaterThan(5);
    expect(asked).toBeLessThan(40);
  });

  it('leave alone what shares memory with a picture', async () => {
    const pool = Buffer.alloc(2000, 7);
    const one = { data: pool.subarray(100, 100 + 48), width: 4, height: 4 };
    const [made] = await collect(start(1).corruptMany([one], 'brightness', 5, { seed: 0 }));
    expect(made.data[0]).toBeGreaterThan(7);
    expect(pool.every((byte) => byte === 7)).toBe(true);
  });

  it('say which picture cannot be, after giving those before it', async () => {
    const pictures = [
      picture(0),
      picture(1),
      { ...picture(2), width: 3 },
      picture(3),
      { ...picture(4), height: 0 },
    ];
    const made: Picture[] = [];
    const run = async (): Promise<void> => {
      for await (const one of start(2).corruptMany(pictures, 'fog', 2, { seed: 1 })) made.push(one);
    };
    await expect(run()).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/^Picture 2, counted from 0: A picture of 3 × 24 pixels/) as string,
    });
    expect(made).toHaveLength(2);
    // The threads go on.
    expect(await collect(threads.corruptMany([picture(0)], 'fog', 2, { seed: 1 }))).toHaveLength(1);
  });

  it('fail what is under way, and what comes later, when they are closed', async () => {
    start(1);
    const pictures = Array.from({ length: 8 }, (_, place) => picture(place, 400));
    const running = collect(threads.corruptMany(pictures, 'defocus-blur', 5, { seed: 0 }));
    const failed = expect(running).rejects.toMatchObject({ code: 'unavailable' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await threads.close();
    await failed;
    await expect(collect(threads.corruptMany([picture(0)], 'fog', 1, { seed: 0 }))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('Picture 0') as string,
    });
  });

  it('must be one or more', () => {
    for (const count of [0, -1, 1.5, NaN]) expect(() => new CorruptionThreads(count)).toThrow(/1 or more/);
  });

  it('give each picture a seed of its own', () => {
    const seeds = [0, 1, 2 ** 32, 2 ** 40].flatMap((seed) =>
      Array.from({ length: 100 }, (_, index) => seedOfPicture(seed, index)),
    );
    expect(new Set(seeds).size).toBe(seeds.length);
  });
});
