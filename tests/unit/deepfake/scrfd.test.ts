import { describe, expect, it } from 'vitest';
import { decodeScrfd } from '#ballast/deepfake/scrfd.js';
import { distanceBetween, encodeScrfd, PLACED, SIZE } from './detector-encoders.js';

const faces = PLACED.map(({ face }) => face);
const NAMED = ['score', 'bbox', 'kps'].flatMap((head) => [8, 16, 32].map((stride) => `${head}_${stride}`));
const NUMBERED = ['448', '471', '494', '451', '474', '497', '454', '477', '500'];

describe('decodeScrfd', () => {
  it.each([
    ['named outputs', NAMED, false],
    ['named outputs with a batch axis', NAMED, true],
    ['numbered outputs', NUMBERED, false],
    ['numbered outputs with a batch axis', NUMBERED, true],
  ])('finds the faces that were encoded: %s', (_, names, batch) => {
    const found = decodeScrfd(encodeScrfd(PLACED, names, batch), SIZE, 0.5);
    expect(distanceBetween(found, faces)).toBeLessThan(1e-4);
  });

  it('tells two anchors of a cell apart', () => {
    const [first, second] = PLACED;
    const twins = [
      { ...first, anchor: 0 },
      { ...first, face: second.face, anchor: 1 },
    ];
    const found = decodeScrfd(encodeScrfd(twins, NAMED, false), SIZE, 0.5);
    expect(distanceBetween(found, [first.face, second.face])).toBeLessThan(1e-4);
  });

  it('leaves out faces below the threshold', () => {
    const found = decodeScrfd(encodeScrfd(PLACED, NAMED, false), SIZE, 0.95);
    expect(distanceBetween(found, [faces[3]])).toBeLessThan(1e-4);
  });

  it.each([
    ['score_8', 0, NaN],
    ['score_8', 0, Infinity],
    ['bbox_8', 2, NaN],
    ['bbox_8', 2, -100],
    ['kps_8', 9, Infinity],
  ])('drops a row whose %s[%i] is %d', (name, index, value) => {
    const outputs = encodeScrfd(PLACED, NAMED, false);
    const output = outputs[name];
    output.data[2 * (SIZE.width / 8 + 1) * output.dims[1] + index] = value;
    expect(distanceBetween(decodeScrfd(outputs, SIZE, 0.5), faces.slice(1))).toBeLessThan(1e-4);
  });

  it('says which table is missing or there twice, and what there is', () => {
    const { bbox_32: removed, ...rest } = encodeScrfd(PLACED, NAMED, true);
    expect(() => decodeScrfd(rest, SIZE, 0.5)).toThrow(
      /gave 0 outputs of the shape \[30, 4\]; .* stride 32 .*"score_8" \[1, 480, 1\]/,
    );
    const twice = { ...rest, bbox_32: removed, again: removed };
    expect(() => decodeScrfd(twice, SIZE, 0.5)).toThrow(/gave 2 outputs of the shape \[30, 4\]/);
  });
});
