import type { Box, Face } from './face.js';

/** Share of a face's box inside a surer one's from which it is taken for a part of that one. */
const MOST_INSIDE = 0.7;

/**
 * Leaves out what lies inside a surer face: detectors at times see a small face in an eye or a mouth, which overlaps the
 * whole face too little, as intersection over union, for non-maximum suppression.
 * @param faces - by falling score
 */
export function withoutNested(faces: readonly Face[]): Face[] {
  const kept: Face[] = [];
  for (const face of faces) {
    const { width, height } = face.box;
    const isPart = kept.some(({ box }) => intersection(box, face.box) > MOST_INSIDE * width * height);
    if (!isPart) kept.push(face);
  }
  return kept;
}

function intersection(one: Box, other: Box): number {
  const width = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const height = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  return Math.max(0, width) * Math.max(0, height);
}
