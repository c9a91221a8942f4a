import { describe, expect, it } from 'vitest';
import { randomGamma, randomShares } from '#ballast/eval/random-gamma.js';
import { arrivalOf, conditionsInTurn, parseStreams, type Stream } from '#ballast/eval/streams.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';

const LABELS = Uint32Array.from({ length: 600 }, (_, i) => i % 6);
const stream = (text: string): Stream => parseStreams(text)[0];
const KINDS = ['shuffled', 'sorted', 'runs:40', 'dirichlet:0.1', 'mixed'];

/** Share of the samples whose neighbour before them is of the same class. */
function sticking(text: string): number {
  const { order } = arrivalOf(stream(text), LABELS, 3);
  const same = order.filter((sample, i) => i > 0 && LABELS[sample] === LABELS[order[i - 1]]);
  return same.length / (order.length - 1);
}

describe('arrivalOf', () => {
  it.each(KINDS)('has every sample once in %s, by its seed alone', (text) => {
    const one = arrivalOf(stream(text), LABELS, 7, 3);
    expect(Array.from(one.order).sort((a, b) => a - b)).toEqual([...LABELS.keys()]);
    expect(arrivalOf(stream(text), LABELS, 7, 3)).toEqual(one);
    expect(arrivalOf(stream(text), LABELS, 8, 3).order).not.toEqual(one.order);
  });

  it.each(KINDS)('begins blocks of %s at 0, ascending, inside the stream', (text) => {
    const { blocks } = arrivalOf(stream(text), LABELS, 1, 3);
    expect(blocks[0]).toBe(0);
    expect([...blocks]).toEqual([...new Set(blocks)].sort((a, b) => a - b));
    expect(blocks.at(-1)).toBeLessThan(600);
  });

  it('keeps classes together as much as the stream says', () => {
    expect(sticking('shuffled')).toBeLessThan(0.25);
    expect(sticking('sorted')).toBeCloseTo(594 / 599, 9);
    expect(sticking('runs:40')).toBeGreaterThan(0.95);
    expect(sticking('dirichlet:0.1')).toBeGreaterThan(sticking('dirichlet:100') + 0.2);
    expect(sticking('dirichlet:100')).toBeLessThan(0.3);
  });

  it('makes runs of one class and of the length asked for, each of them a block', () => {
    const { order, blocks } = arrivalOf(stream('runs:20'), LABELS, 5);
    expect([...blocks]).toEqual(Array.from({ length: 30 }, (_, run) => run * 20));
    for (const begin of blocks) {
      expect(new Set(Array.from(order.slice(begin, begin + 20), (sample) => LABELS[sample])).size).toBe(1);
    }
  });

  it('resamples single samples of a shuffled stream, and stretches of 40 at most of a sorted one', () => {
    expect(arrivalOf(stream('shuffled'), LABELS, 1).blocks).toHaveLength(600);
    // Classes of 100 make stretches of 40, 40 and 20.
    expect([...arrivalOf(stream('sorted'), LABELS, 1).blocks.slice(0, 5)]).toEqual([0, 40, 80, 100, 140]);
  });

  it('gives each condition of the mixed stream its turn, with as many samples', () => {
    const arrival = arrivalOf(stream('mixed'), LABELS, 1, 4);
    const turn = conditionsInTurn(arrival, 4);
    const inOrder = Array.from(arrival.order, (sample) => turn[sample]);
    expect(inOrder).toEqual(Array.from({ length: 600 }, (_, place) => Math.floor(place / 150)));
    expect([...arrival.blocks]).toContain(150);
  });
});

describe('randomGamma and randomShares', () => {
  it.each([0.3, 1, 4.5])('has the mean and variance of a gamma distribution of shape %d', (shape) => {
    const random = new SeededRandom(11);
    const draws = Array.from({ length: 20_000 }, () => randomGamma(random, shape));
    const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
    const variance = draws.reduce((sum, draw) => sum + (draw - mean) ** 2, 0) / draws.length;
    expect(mean / shape).toBeCloseTo(1, 1);
    expect(variance / shape).toBeGreaterThan(0.9);
    expect(variance / shape).toBeLessThan(1.1);
  });

  it.each([1e-9, 0.1, 10])('shares one whole at delta %d', (delta) => {
    const shares = randomShares(new SeededRandom(2), delta, 8);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
  });
});

describe('parseStreams', () => {
  it('names what is written wrong, and what was meant', () => {
    expect(() => parseStreams('run:40')).toThrow('did you mean "runs"?');
    for (const wrong of ['runs', 'runs:1', 'runs:2.5', 'dirichlet:', 'dirichlet:0', 'sorted:3', 'runs:4:5']) {
      expect(() => parseStreams(wrong)).toThrow('is written wrong');
    }
    expect(() => parseStreams(' , ')).toThrow('No stream is named');
  });

  it('takes each once', () => {
    expect(parseStreams('sorted, runs:40,sorted').map(({ name }) => name)).toEqual(['sorted', 'runs:40']);
  });
});
