import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';

/** Where a face is drawn: the middle between its eyes and mouth, and about the width of its box. */
export interface DrawnFace {
  readonly x: number;
  readonly y: number;
  readonly size: number;
}

/** drawn-face.svg as a PNG, three pixels for a unit of its own; the middle of the face is at (90, 95) of (180, 280). */
const FACE = fileURLToPath(new URL('../../fixtures/drawn-face.png', import.meta.url));
const UNIT = { x: 90, y: 95, width: 180, height: 280 };

/** A picture of drawn faces, which the shipped face detector takes for faces: photos of people are not shipped. */
export async function drawnFaces(width: number, height: number, faces: readonly DrawnFace[]): Promise<Sharp> {
  const layers = await Promise.all(
    faces.map(async ({ x, y, size }) => {
      const scale = size / 100;
      const left = Math.round(x - UNIT.x * scale);
      const top = Math.round(y - UNIT.y * scale);
      const [w, h] = [Math.round(UNIT.width * scale), Math.round(UNIT.height * scale)];
      const cut = { left: Math.max(0, -left), top: Math.max(0, -top) };
      const input = await sharp(FACE)
        .resize(w, h, { fit: 'fill' })
        .extract({
          ...cut,
          width: Math.min(w - cut.left, width - Math.max(0, left)),
          height: Math.min(h - cut.top, height - Math.max(0, top)),
        })
        .png()
        .toBuffer();
      return { input, left: Math.max(0, left), top: Math.max(0, top) };
    }),
  );
  const background = { r: 93, g: 106, b: 120 };
  const drawn = await sharp({ create: { width, height, channels: 3, background } })
    .composite(layers)
    .png()
    .toBuffer();
  return sharp(drawn);
}
