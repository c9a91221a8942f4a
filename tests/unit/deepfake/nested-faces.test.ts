import { expect, it } from 'vitest';
import type { Face } from '#ballast/deepfake/face.js';
import { withoutNested } from '#ballast/deepfake/nested-faces.js';

const origin = { x: 0, y: 0 };
const face = (x: number, y: number, width: number, score: number): Face => ({
  box: { x, y, width, height: width },
  landmarks: [origin, origin, origin, origin, origin],
  score,
});

it('leaves out what lies inside a surer face, and keeps what only touches it', () => {
  const whole = face(100, 100, 100, 0.9);
  const eye = face(120, 120, 30, 0.7);
  const neighbour = face(180, 100, 100, 0.8);
  expect(withoutNested([whole, neighbour, eye])).toEqual([whole, neighbour]);
});

it('keeps a small sure face in front of a large doubtful one', () => {
  const small = face(120, 120, 30, 0.9);
  const large = face(100, 100, 100, 0.7);
  expect(withoutNested([small, large])).toEqual([small, large]);
});
