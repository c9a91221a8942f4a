import type { Box } from './face.js';

/** How far a face may move between two frames that are looked at, in widths of its box. */
const REACH = 1.5;
/** How much larger or smaller it may get between them. */
const GROWTH = 2;

/** A face of a frame, by the numbers of both. */
export interface Sighting {
  readonly frame: number;
  readonly face: number;
}

/**
 * Which faces of a video are one person's, by where they are: each face continues the person whose last box is nearest,
 * if that is of a like size and near enough; any other begins a new one. Two faces of one frame are never one person's.
 * @param frames - boxes of each frame's faces in pixels, in the order of time
 * @returns persons in the order in which they appear, each with its sightings in the order of time
 */
export function tracksOf(frames: readonly (readonly Box[])[]): Sighting[][] {
  const tracks: { readonly sightings: Sighting[]; last: Box }[] = [];
  frames.forEach((boxes, frame) => {
    const pairs = boxes.flatMap((box, face) =>
      tracks.map((track) => ({ face, track, distance: distanceOf(track.last, box) })),
    );
    const near = pairs.filter(({ distance }) => distance <= REACH);
    const [taken, continued] = [new Set<number>(), new Set<object>()];
    for (const { face, track } of near.sort((a, b) => a.distance - b.distance)) {
      if (taken.has(face) || continued.has(track)) continue;
      taken.add(face);
      continued.add(track);
      track.sightings.push({ frame, face });
      track.last = boxes[face];
    }
    boxes.forEach((box, face) => {
      if (!taken.has(face)) tracks.push({ sightings: [{ frame, face }], last: box });
    });
  });
  return tracks.map(({ sightings }) => sightings);
}

/** Between the centres, in widths of the larger box; infinite where the sizes differ too much. */
function distanceOf(one: Box, other: Box): number {
  const [small, large] = [Math.min(one.width, other.width), Math.max(one.width, other.width)];
  if (large > small * GROWTH) return Infinity;
  const dx = one.x + one.width / 2 - other.x - other.width / 2;
  const dy = one.y + one.height / 2 - other.y - other.height / 2;
  return Math.hypot(dx, dy) / large;
}
