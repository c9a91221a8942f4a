import { describe, expect, it } from 'vitest';
import { decodeYunet } from '#ballast/deepfake/yunet.js';
import { distanceBetween, encodeYunet, PLACED, SIZE } from './detector-encoders.js';

const faces = PLACED.map(({ face }) => face);

describe('decodeYunet', () => {
  it('finds the faces that were encoded', () => {
    expect(distanceBetween(decodeYunet(encodeYunet(PLACED), SIZE, 0.5), faces)).toBeLessThan(1e-4);
  });

  it('takes the root of both scores, each clamped to [0, 1]', () => {
    const outputs = encodeYunet(PLACED.slice(0, 1));
    const cell = SIZE.width / 8 + 1;
    outputs.cls_8.data[cell] = 1.7;
    outputs.obj_8.data[cell] = 0.25;
    expect(decodeYunet(outputs, SIZE, 0.5).map(({ score }) => score)).toEqual([0.5]);
    outputs.obj_8.data[cell] = -3;
    expect(decodeYunet(outputs, SIZE, 0.01)).toEqual([]);
  });

  it('leaves out faces below the threshold', () => {
    const found = decodeYunet(encodeYunet(PLACED), SIZE, 0.7);
    expect(distanceBetween(found, [faces[0], faces[1], faces[3]])).toBeLessThan(1e-4);
  });

  it.each([
    ['cls_8', 0, NaN],
    ['obj_8', 0, Infinity],
    ['bbox_8', 1, NaN],
    ['bbox_8', 2, 1e4],
    ['bbox_8', 3, -1e4],
    ['kps_8', 7, -Infinity],
  ])('drops a row whose %s[%i] is %d', (name, index, value) => {
    const outputs = encodeYunet(PLACED);
    const output = outputs[name];
    const columns = output.dims[2];
    output.data[(SIZE.width / 8 + 1) * columns + index] = value;
    expect(distanceBetween(decodeYunet(outputs, SIZE, 0.5), faces.slice(1))).toBeLessThan(1e-4);
  });

  it('names an output that is missing or of another size', () => {
    const { kps_16: removed, ...rest } = encodeYunet(PLACED);
    expect(removed.dims).toEqual([1, 60, 10]);
    expect(() => decodeYunet(rest, SIZE, 0.5)).toThrow('no output "kps_16"');
    const taller = { ...SIZE, height: 128 };
    expect(() => decodeYunet(encodeYunet(PLACED), taller, 0.5)).toThrow(
      /"cls_8" .* has the shape \[1, 240, 1\] .* \[1, 320, 1\].*multiples of 32/,
    );
  });
});
