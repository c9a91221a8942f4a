import { describe, expect, it } from 'vitest';
import { StreamStore, type Samples } from '#ballast/pipeline/streams.js';

const LIMITS = { maxStreams: 3, maxBytes: 10_000, maxIdleSeconds: 60 };

const samples = (...values: number[]): Samples => ({
  features: {
    data: Float32Array.from(values.flatMap((value) => [value, value])),
    rows: values.length,
    cols: 2,
  },
  probabilities: { data: Float32Array.from(values), rows: values.length, cols: 1 },
});

describe('StreamStore', () => {
  it('keeps the last samples of a stream, apart for each model', () => {
    const store = new StreamStore(LIMITS);
    store.write('cam', 'a/1', samples(1, 2, 3, 4), 3);
    store.write('cam', 'b/1', samples(9), 3);
    expect([...store.read('cam', 'a/1')!.probabilities.data]).toEqual([2, 3, 4]);
    expect([...store.read('cam', 'a/1')!.features.data]).toEqual([2, 2, 3, 3, 4, 4]);
    expect(store.describe('cam').map(({ model, samples: kept }) => [model, kept])).toEqual(
      expect.arrayContaining([
        ['a/1', 3],
        ['b/1', 1],
      ]),
    );
    expect(store.forget('cam')).toBe(true);
    expect(store.forget('cam')).toBe(false);
    expect(store.read('cam', 'a/1')).toBeUndefined();
  });

  it('forgets the least recently used window first, by number and by bytes', () => {
    const store = new StreamStore(LIMITS);
    for (const id of ['a', 'b', 'c']) store.write(id, 'm', samples(1), 10);
    store.read('a', 'm');
    store.write('d', 'm', samples(1), 10);
    expect(store.size).toBe(3);
    expect(store.read('b', 'm')).toBeUndefined();
    expect(store.read('a', 'm')).toBeDefined();
    store.write('big', 'm', samples(...Array.from({ length: 833 }, (_, i) => i)), 1000);
    expect(store.size).toBe(1);
  });

  it('gives requests of one stream their turns in the order in which they arrived', async () => {
    const store = new StreamStore(LIMITS);
    const order: number[] = [];
    const work = async (index: number, ms: number): Promise<void> => {
      const turn = store.turn('cam', 'm');
      await new Promise((resolve) => setTimeout(resolve, ms));
      await turn.ready;
      order.push(index);
      turn.end();
    };
    await Promise.all([work(0, 30), work(1, 0), work(2, 15)]);
    expect(order).toEqual([0, 1, 2]);
  });
});
