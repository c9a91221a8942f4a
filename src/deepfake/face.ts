/** A point of a picture in pixels, x to the right and y down. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A rectangle of a picture in pixels; x and y are those of its top left corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * The five landmarks of a face: the eye at the picture's left, the eye at its right, the tip of the nose, the corner of
 * the mouth at the picture's left, the corner at its right. Left and right are the viewer's: the first eye is the
 * person's right one, unless the picture is mirrored.
 */
export type Landmarks = readonly [Point, Point, Point, Point, Point];

/** A face that a detector found. */
export interface Face {
  readonly box: Box;
  readonly landmarks: Landmarks;
  /** How sure the detector is, from 0 to 1. */
  readonly score: number;
}

/** A face in the pixels of a picture that is `sx` times as wide and `sy` times as high. */
export function scaledFace({ box, landmarks, score }: Face, sx: number, sy: number): Face {
  const moved = ({ x, y }: Point): Point => ({ x: x * sx, y: y * sy });
  const [a, b, c, d, e] = landmarks;
  return {
    box: { x: box.x * sx, y: box.y * sy, width: box.width * sx, height: box.height * sy },
    landmarks: [moved(a), moved(b), moved(c), moved(d), moved(e)],
    score,
  };
}
