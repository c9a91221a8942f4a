import { cp, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formOf } from './support/pictures.js';
import { ask, serveFolder, type TestServer } from './support/server.js';

/** Of a probability, from the picture file on: see docs/gend.md. */
const TOLERANCE = 1e-4;
const fixtures = new URL('../fixtures/gend/', import.meta.url);

interface Expected {
  pictures: { file: string; logits: [number, number]; probabilities: [number, number] }[];
}

let server: TestServer;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-gend-'));
  await cp(fixtures, folder, { recursive: true });
  server = await serveFolder(folder);
});
afterAll(() => server.close());

describe.each(['clip', 'dinov3', 'pe'])('an exported GenD model with a %s encoder', (backbone) => {
  let expected: Expected['pictures'];
  let files: Buffer[];

  beforeAll(async () => {
    const folder = new URL(`${backbone}/`, fixtures);
    const text = await readFile(new URL('expected.json', folder), 'utf8');
    expected = (JSON.parse(text) as Expected).pictures;
    files = await Promise.all(expected.map(({ file }) => readFile(new URL(file, folder))));
  });

  const post = (path: string, pictures: readonly Buffer[]): ReturnType<typeof ask> =>
    ask(`${server.url}${path}`, { method: 'POST', body: formOf(pictures) });

  it('judges aligned faces as PyTorch does, PNG and JPEG', async () => {
    const { status, body } = await post(`/v1/deepfake?model=${backbone}&faces=crop`, files);
    expect(status).toBe(200);
    const pictures = body['images'] as { score: number; faces: { score: number }[]; verdict: string }[];
    expect(pictures).toHaveLength(expected.length);
    for (const [i, { score, faces, verdict }] of pictures.entries()) {
      const [, fake] = expected[i].probabilities;
      expect(Math.abs(score - fake), expected[i].file).toBeLessThan(TOLERANCE);
      expect(faces).toHaveLength(1);
      expect(faces[0].score).toBe(score);
      expect(verdict).toBe(fake >= 0.5 ? 'fake' : 'real');
    }
    expect(body['score']).toBe(Math.max(...pictures.map(({ score }) => score)));
  });

  it('gives both probabilities as a classifier does', async () => {
    const { status, body } = await post(`/v1/models/${backbone}/predict`, files);
    expect(status).toBe(200);
    const predictions = body['predictions'] as { top: { label: string; probability: number }[] }[];
    expect(predictions).toHaveLength(expected.length);
    for (const [i, { top }] of predictions.entries()) {
      const found = new Map(top.map(({ label, probability }) => [label, probability]));
      for (const [k, label] of ['real', 'fake'].entries()) {
        const difference = Math.abs(found.get(label)! - expected[i].probabilities[k]);
        expect(difference, `${expected[i].file}: ${label}`).toBeLessThan(TOLERANCE);
      }
    }
  });

  it('tells pictures apart that were sent one by one', async () => {
    for (const [i, file] of files.entries()) {
      const { body } = await post(`/v1/deepfake?model=${backbone}&faces=crop`, [file]);
      expect(Math.abs((body['score'] as number) - expected[i].probabilities[1])).toBeLessThan(TOLERANCE);
    }
    const fakes = expected.map(({ probabilities }) => probabilities[1]);
    expect(Math.max(...fakes) - Math.min(...fakes)).toBeGreaterThan(1000 * TOLERANCE);
  });

  it('asks for a face detector where pictures are no crops', async () => {
    const { status, body } = await post(`/v1/deepfake?model=${backbone}`, files.slice(0, 1));
    expect(status).toBe(422);
    expect(body['detail']).toContain('faces=crop');
  });
});
