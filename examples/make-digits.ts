/**
 * Makes the pictures in `digits/`, typeset digits, white on a dark colour: one of each, and twelve of each to learn
 * from in `shots.zip`. `npx tsx examples/make-digits.ts`, on a
 * machine that has the fonts DejaVu and Liberation.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { zipOf, type ZipEntry } from '../tests/fixtures/zip.js';

const SIDE = 64;
const SHOTS = 12;
const FONTS = [
  { family: 'DejaVu Sans', weight: 400 },
  { family: 'DejaVu Sans', weight: 700 },
  { family: 'DejaVu Sans Condensed', weight: 400 },
  { family: 'Liberation Sans', weight: 400 },
  { family: 'Liberation Sans', weight: 700 },
  { family: 'Liberation Sans Narrow', weight: 400 },
];

const folder = fileURLToPath(new URL('digits/', import.meta.url));
await rm(folder, { recursive: true, force: true });
const random = new SeededRandom(7);
await mkdir(folder);
const shots: ZipEntry[] = [];
for (let digit = 0; digit < 10; digit++) {
  for (let shot = 0; shot < SHOTS; shot++) {
    shots.push({ name: `${digit}/${String(shot).padStart(2, '0')}.png`, bytes: await draw(digit) });
  }
  await writeFile(join(folder, `${digit}.png`), await draw(digit));
}
await writeFile(join(folder, 'shots.zip'), zipOf(shots));

function draw(digit: number): Promise<Buffer> {
  const between = (low: number, high: number): number => low + (high - low) * random.uniform();
  const { family, weight } = FONTS[Math.floor(between(0, FONTS.length))];
  const size = between(34, 62);
  const [x, y] = [between(size / 3, SIDE - size / 3), between(0.78 * size, SIDE - 2)];
  const turn = between(-12, 12);
  const colour = `hsl(${between(0, 360).toFixed()} ${between(20, 70).toFixed()}% 15%)`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
    <rect width="100%" height="100%" fill="${colour}"/>
    <text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="middle" fill="white" font-family="${family}"
      font-weight="${weight}" font-size="${size.toFixed(1)}"
      transform="rotate(${turn.toFixed(1)} ${x.toFixed(1)} ${(y - size / 3).toFixed(1)})">${digit}</text></svg>`;
  return sharp(Buffer.from(svg)).removeAlpha().png({ palette: true, colours: 64 }).toBuffer();
}
