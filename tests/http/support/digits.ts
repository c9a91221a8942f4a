import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import type { z } from 'zod';
import { jobSchema } from '#ballast/server/job-text.js';
import { zipOf, type ZipEntry } from '../../fixtures/zip.js';
import { ask, type Answer } from './server.js';

const source = fileURLToPath(new URL('../../../models/digits/', import.meta.url));

/** A new folder of models with a copy of the digits model in it. */
export async function digitsFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-digits-'));
  await addDigits(folder, 'digits');
  return folder;
}

/**
 * Adds a copy of the digits model, without any prompt.
 * @param prompt - what model.yaml says of prompts; empty for nothing
 */
export async function addDigits(
  folder: string,
  name: string,
  prompt = '{ coordinator: coordinator.onnx, version: latest }',
): Promise<void> {
  await mkdir(join(folder, name), { recursive: true });
  for (const file of ['classifier.onnx', 'coordinator.onnx', 'labels.txt']) {
    await copyFile(join(source, file), join(folder, name, file));
  }
  await writeDigitsYaml(folder, name, prompt);
}

/** Writes the model.yaml of a copy, with other prompts. */
export async function writeDigitsYaml(folder: string, name: string, prompt: string): Promise<void> {
  const own = await readFile(join(source, 'model.yaml'), 'utf8');
  const yaml = own.replace(/^name: .*$/m, `name: ${name}`).replace(/^prompt: .*$/m, '');
  await writeFile(join(folder, name, 'model.yaml'), `${yaml}${prompt === '' ? '' : `prompt: ${prompt}\n`}`);
}

const [SIDE, LEFT, RIGHT, TOP, MIDDLE, BOTTOM, STROKE] = [64, 18, 42, 8, 29, 50, 6];
/** Where each of the seven segments lies: `[x, y, width, height]`. */
const SEGMENTS = {
  a: [LEFT, TOP, RIGHT - LEFT + STROKE, STROKE],
  b: [RIGHT, TOP, STROKE, MIDDLE - TOP + STROKE],
  c: [RIGHT, MIDDLE, STROKE, BOTTOM - MIDDLE + STROKE],
  d: [LEFT, BOTTOM, RIGHT - LEFT + STROKE, STROKE],
  e: [LEFT, MIDDLE, STROKE, BOTTOM - MIDDLE + STROKE],
  f: [LEFT, TOP, STROKE, MIDDLE - TOP + STROKE],
  g: [LEFT, MIDDLE, RIGHT - LEFT + STROKE, STROKE],
} as const;
const DIGITS = [...['abcdef', 'bc', 'abdeg', 'abcdg', 'bcfg', 'acdfg', 'acdefg', 'abc', 'abcdefg', 'abcdfg']];

/** A PNG of a digit in seven white segments, whose place and coloured ground depend on the seed. */
export async function digitPng(digit: number, seed: number): Promise<Buffer> {
  const data = new Uint8Array(SIDE * SIDE * 3);
  const ground = [(40 + 53 * seed) % 160, (90 + 31 * digit + 17 * seed) % 160, (20 + 71 * seed) % 160];
  for (let i = 0; i < data.length; i++) data[i] = ground[i % 3];
  const shift = (seed % 5) - 2;
  for (const segment of DIGITS[digit] as Iterable<keyof typeof SEGMENTS>) {
    const [x, y, width, height] = SEGMENTS[segment];
    for (let row = y; row < y + height; row++) {
      const begin = (row * SIDE + x + shift) * 3;
      data.fill(255, begin, begin + width * 3);
    }
  }
  return sharp(data, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
}

/** `each` pictures of each of the first classes, in folders named after them. */
export async function digitShots(classes: number, each: number): Promise<ZipEntry[]> {
  const all = Array.from({ length: classes * each }, async (_, i) => ({
    name: `shots/${Math.floor(i / each)}/${i % each}.png`,
    bytes: await digitPng(Math.floor(i / each), i),
  }));
  return Promise.all(all);
}

/** A zip of such pictures. */
export async function digitZip(classes = 4, each = 4): Promise<Buffer> {
  return zipOf(await digitShots(classes, each));
}

/** Sends shots, as a zip, that a prompt is to be fitted to. */
export function fit(url: string, zip: Uint8Array, query = '', model = 'digits'): Promise<Answer> {
  return ask(`${url}/v1/models/${model}/prompts?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/zip' },
    body: Uint8Array.from(zip),
  });
}

/** An event of a job: its name, and the job as it was then. */
export interface JobEvent {
  readonly name: string;
  readonly job: z.output<typeof jobSchema>;
}

/** Follows a job until its events end. */
export async function eventsOf(url: string, id: string): Promise<JobEvent[]> {
  const response = await fetch(`${url}/v1/jobs/${id}/events`);
  if (response.headers.get('content-type') !== 'text/event-stream') throw new Error(await response.text());
  const events = (await response.text()).split('\n\n').filter((text) => text !== '');
  return events.map((text) => {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(text)!;
    return { name, job: jobSchema.strict().parse(JSON.parse(data)) };
  });
}

/** Fits a prompt, and returns the job as it ended. */
export async function fitted(
  url: string,
  zip: Uint8Array,
  query = '',
  model = 'digits',
): Promise<JobEvent['job']> {
  const { status, body } = await fit(url, zip, query, model);
  if (status !== 202) throw new Error(JSON.stringify(body));
  return (await eventsOf(url, jobSchema.parse(body).id)).at(-1)!.job;
}

/** Waits until something holds. */
export async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
