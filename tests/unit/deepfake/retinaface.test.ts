import { describe, expect, it } from 'vitest';
import { decodeRetinaface } from '#ballast/deepfake/retinaface.js';
import { distanceBetween, encodeRetinaface, PLACED, SIZE } from './detector-encoders.js';

const faces = PLACED.map(({ face }) => face);
/** A prior of stride 8, the first face's: `PLACED[0]` is at column 1 and row 1. */
const FIRST = 2 * (SIZE.width / 8 + 1);

describe('decodeRetinaface', () => {
  it.each(['probabilities', 'logits'] as const)('finds the faces that were encoded: %s', (scores) => {
    const found = decodeRetinaface(encodeRetinaface(PLACED, scores), SIZE, 0.5);
    expect(distanceBetween(found, faces)).toBeLessThan(1e-4);
  });

  it('does not care about names and order', () => {
    const { loc, conf, landms } = encodeRetinaface(PLACED, 'probabilities');
    const found = decodeRetinaface({ 586: landms, output0: conf, 585: loc }, SIZE, 0.5);
    expect(distanceBetween(found, faces)).toBeLessThan(1e-4);
  });

  it('takes pictures whose sides are no multiples of the strides', () => {
    const odd = { width: 150, height: 91 };
    const found = decodeRetinaface(encodeRetinaface(PLACED, 'logits', odd), odd, 0.5);
    expect(distanceBetween(found, faces)).toBeLessThan(1e-4);
  });

  it('takes scores that sum to 1 in half precision as probabilities', () => {
    const outputs = encodeRetinaface(PLACED.slice(0, 1), 'probabilities');
    outputs.conf.data.set([0.1001, 0.9004], 2 * FIRST);
    expect(decodeRetinaface(outputs, SIZE, 0.5).map(({ score }) => score)).toEqual([Math.fround(0.9004)]);
  });

  it.each([
    ['conf', 0, NaN],
    ['conf', 1, Infinity],
    ['loc', 0, NaN],
    ['loc', 3, 1e5],
    ['landms', 4, -Infinity],
  ] as const)('drops a row whose %s[%i] is %d', (name, index, value) => {
    for (const scores of ['probabilities', 'logits'] as const) {
      const outputs = encodeRetinaface(PLACED, scores);
      outputs[name].data[FIRST * outputs[name].dims[2] + index] = value;
      expect(distanceBetween(decodeRetinaface(outputs, SIZE, 0.5), faces.slice(1))).toBeLessThan(1e-4);
    }
  });

  it('says what is missing or of another size', () => {
    const { loc, conf, landms } = encodeRetinaface(PLACED, 'logits');
    expect(() => decodeRetinaface({ loc, conf }, SIZE, 0.5)).toThrow(
      /gave 0 outputs of the shape \[1, 630, 10\]/,
    );
    expect(() => decodeRetinaface({ loc, conf, landms }, { width: 160, height: 128 }, 0.5)).toThrow(
      /"loc" .*\[1, 630, 4\] .* \[1, 840, 4\]/,
    );
  });
});
