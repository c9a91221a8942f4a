import { describe, expect, it } from 'vitest';
import { decodeFaces, detectorLayout } from '#ballast/deepfake/detector-layout.js';
import {
  distanceBetween,
  encodeRetinaface,
  encodeScrfd,
  encodeYunet,
  PLACED,
  shapesOf,
  SIZE,
} from './detector-encoders.js';

const NUMBERED = ['448', '471', '494', '451', '474', '497', '454', '477', '500'];
const DETECTORS = [
  ['yunet', encodeYunet(PLACED)],
  ['scrfd', encodeScrfd(PLACED, NUMBERED, false)],
  ['scrfd', encodeScrfd(PLACED, NUMBERED, true)],
  ['retinaface', encodeRetinaface(PLACED, 'logits')],
] as const;

describe('detectorLayout', () => {
  it.each(DETECTORS)('recognises a %s and decodes its faces', (layout, outputs) => {
    const shapes = shapesOf(outputs);
    expect(detectorLayout(shapes)).toBe(layout);
    expect(detectorLayout(shapes.reverse())).toBe(layout);
    const varying = shapes.map(({ name, dims }) => ({
      name,
      dims: dims.map((length, axis) => (axis === dims.length - 1 ? length : -1)),
    }));
    expect(detectorLayout(varying)).toBe(layout);
    const faces = PLACED.map(({ face }) => face);
    expect(distanceBetween(decodeFaces(layout, outputs, SIZE, 0.5), faces)).toBeLessThan(1e-4);
  });

  it.each([
    ['a classifier', [{ name: 'logits', dims: [-1, 1000] }], /"logits" \[-1, 1000\]/],
    ['an SCRFD without landmarks', shapesOf(DETECTORS[1][1]).filter(({ dims }) => dims[1] !== 10), /"448"/],
    ['a YuNet that lacks an output', shapesOf(DETECTORS[0][1]).slice(1), /"obj_8" \[1, 240, 1\]/],
    ['nothing', [], /no outputs/],
  ])('lists what was found and what is known: %s', (_, shapes, found) => {
    expect(() => detectorLayout(shapes)).toThrow(found);
    expect(() => detectorLayout(shapes)).toThrow(/A YuNet has .* an SCRFD .* a RetinaFace/);
    expect(() => detectorLayout(shapes)).toThrow(expect.objectContaining({ code: 'invalid-model' }));
  });
});

describe('decodeFaces', () => {
  it.each([
    [{ width: 0, height: 96 }, 0.5, 'The width'],
    [{ width: 160, height: 9.5 }, 0.5, 'The height'],
    [SIZE, NaN, 'threshold'],
    [SIZE, 1.1, 'threshold'],
  ])('refuses a size of %j with a threshold of %d', (size, threshold, message) => {
    expect(() => decodeFaces('yunet', DETECTORS[0][1], size, threshold)).toThrow(message);
  });

  it('refuses the outputs of another detector', () => {
    expect(() => decodeFaces('retinaface', DETECTORS[1][1], SIZE, 0.5)).toThrow(/a RetinaFace gives one/);
  });
});
