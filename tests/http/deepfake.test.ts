import { fileURLToPath } from 'node:url';
import { cp, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { deepfakeResponseSchema } from '#ballast/server/deepfake-schemas.js';
import { drawnFaces } from './support/drawn-faces.js';
import { formOf } from './support/pictures.js';
import { expectProblem } from './support/problems.js';
import { ask, post, serveFolder, type Answer, type TestServer } from './support/server.js';

type Judged = z.output<typeof deepfakeResponseSchema>;

const source = fileURLToPath(new URL('../../models/deepfake', import.meta.url));
const TWO = [
  { x: 200, y: 220, size: 110 },
  { x: 470, y: 250, size: 80 },
];

/** A folder with the shipped model under some names, each with its model.yaml changed. */
async function folderOf(models: Readonly<Record<string, (yaml: string) => string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-deepfake-'));
  for (const [name, change] of Object.entries(models)) {
    await cp(source, join(folder, name), { recursive: true });
    const yaml = await readFile(join(source, 'model.yaml'), 'utf8');
    await writeFile(
      join(folder, name, 'model.yaml'),
      change(yaml).replace('name: deepfake', `name: ${name}`),
    );
  }
  return folder;
}

let server: TestServer;
let two: Buffer;
let nobody: Buffer;

beforeAll(async () => {
  server = await serveFolder(await folderOf({ deepfake: (yaml) => yaml }));
  two = await (await drawnFaces(640, 480, TWO)).png().toBuffer();
  nobody = await (await drawnFaces(320, 240, [])).jpeg().toBuffer();
}, 60_000);
afterAll(() => server.close());

const judge = (query: string, body: FormData | Buffer, type?: string): Promise<Answer> =>
  ask(`${server.url}/v1/deepfake?${query}`, {
    method: 'POST',
    body: body instanceof FormData ? body : new Uint8Array(body),
    ...(type !== undefined && { headers: { 'content-type': type } }),
  });

async function judged(query: string, files: readonly Buffer[]): Promise<Judged> {
  const { status, body } = await judge(query, formOf(files));
  expect(status, JSON.stringify(body)).toBe(200);
  return deepfakeResponseSchema.strict().parse(body);
}

describe('pictures', () => {
  it('finds, places and scores every face', async () => {
    const { images = [], media, score, verdict, model } = await judged('', [two]);
    expect({ media, model, images: images.length }).toEqual({ media: 'image', model: 'deepfake', images: 1 });
    const [{ faces, width, height }] = images;
    expect([width, height]).toEqual([640, 480]);
    expect(faces).toHaveLength(2);
    for (const { x, y, size } of TWO) {
      const face = faces.find(({ box }) => Math.abs(box!.x + box!.width / 2 - x) < 0.2 * size)!;
      expect(Math.abs(face.box!.y + face.box!.height / 2 - y)).toBeLessThan(0.3 * size);
      const [[left, eyes], [right]] = face.landmarks!;
      expect(right - left).toBeGreaterThan(0.25 * size);
      expect(Math.abs(eyes - (y - 0.06 * size))).toBeLessThan(0.15 * size);
      expect(face.detection).toBeGreaterThan(0.6);
    }
    expect(score).toBe(Math.max(...faces.map((face) => face.score)));
    expect(['real', 'unsure', 'fake']).toContain(verdict);
  });

  it('answers each picture as it would alone, whatever else is in the request', async () => {
    const one = await (await drawnFaces(400, 400, [{ x: 200, y: 180, size: 150 }])).jpeg().toBuffer();
    const together = await judged('', [two, one, nobody]);
    for (const [i, file] of [two, one, nobody].entries()) {
      const alone = await judged('', [file]);
      expect(together.images![i].faces).toHaveLength(alone.images![0].faces.length);
      for (const [f, face] of alone.images![0].faces.entries()) {
        expect(together.images![i].faces[f].score).toBeCloseTo(face.score, 4);
      }
    }
  });

  it('tells a large photo in its own pixels', async () => {
    const picture = await drawnFaces(640, 480, TWO);
    const large = await picture.resize(3200, 2400).jpeg().toBuffer();
    const [{ width, faces }] = (await judged('', [large])).images!;
    expect(width).toBe(3200);
    const centres = faces.map(({ box }) => box!.x + box!.width / 2).sort((a, b) => a - b);
    expect(Math.abs(centres[0] - 1000)).toBeLessThan(100);
    expect(Math.abs(centres[1] - 2350)).toBeLessThan(100);
  });

  it('says so where there is no face, and refuses where one is required', async () => {
    const { verdict, score, images } = await judged('', [nobody]);
    expect({ verdict, score, faces: images![0].faces }).toEqual({
      verdict: 'no-face',
      score: null,
      faces: [],
    });
    expectProblem(await judge('require=face', formOf([two, nobody])), 422, /No face was found in image\[1\]/);
  });

  it('takes crops as they are, as predict does', async () => {
    const crop = await (await drawnFaces(128, 128, [{ x: 64, y: 60, size: 60 }])).png().toBuffer();
    const [{ faces }] = (await judged('faces=crop', [crop])).images!;
    expect(faces).toHaveLength(1);
    expect(faces[0]).not.toHaveProperty('box');
    const { body } = await ask(`${server.url}/v1/models/deepfake/predict?top=2&lame=off`, {
      method: 'POST',
      body: formOf([crop]),
    });
    const { predictions } = body as { predictions: { top: { label: string; probability: number }[] }[] };
    const fake = predictions[0].top.find(({ label }) => label === 'fake')!;
    expect(faces[0].score).toBeCloseTo(fake.probability, 6);
  });

  it('takes a body, and JSON with base64', async () => {
    const whole = await judge('', two, 'image/png');
    const json = await post(`${server.url}/v1/deepfake`, { image: [two.toString('base64')] });
    expect([whole.status, json.status]).toEqual([200, 200]);
    expect(json.body['score']).toBeCloseTo(whole.body['score'] as number, 6);
  });

  it('adapts within a stream, and leaves LAME out otherwise', async () => {
    const plain = await judged('', [two]);
    expect(plain.images![0]).not.toHaveProperty('lame');
    await judged('stream=door', [two]);
    const streamed = await judged('stream=door', [two]);
    expect(streamed.images![0].lame).toMatchObject({ scope: 'stream', samples: 4 });
    expect(streamed.images![0].faces.map(({ base }) => base)).toEqual(
      plain.images![0].faces.map(({ base }) => base),
    );
  });

  it('counts scores and verdicts', async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(
      /ballast_deepfake_verdicts_total\{model="deepfake",media="image",verdict="no-face"\} [1-9]/,
    );
    expect(text).toMatch(/ballast_deepfake_score_count\{model="deepfake"\} [1-9]/);
  });
});

describe('what is wrong', () => {
  it('is said of files', async () => {
    const text = Buffer.from('no picture');
    expectProblem(await judge('', formOf([two, text])), 415, /image\[1\] is not a picture/);
    expectProblem(await judge('', formOf([two.subarray(0, 900)])), 400, /image\[0\] is damaged or cut short/);
    expectProblem(await judge('', new FormData()), 400, /No file came/);
    expectProblem(
      await judge('', formOf([two], 'photo')),
      400,
      /A file came as "photo"; pictures come as "image"/,
    );
    expectProblem(await judge('', text, 'text/plain'), 415, /"text\/plain" is none that this takes/);
    const both = formOf([two]);
    both.append('video', new Blob([new Uint8Array(two)]), 'clip.mp4');
    expectProblem(await judge('', both), 400, /One video is judged a request, or pictures, not both/);
  });

  it('is said of the query', async () => {
    expectProblem(await judge('frames=0', formOf([two])), 400, /"frames" is wrong/);
    expectProblem(
      await judge('face=crop', formOf([two])),
      400,
      /no query parameter "face"; there are model, faces/,
    );
    expectProblem(await judge('model=nobody', formOf([two])), 404, /no model "nobody"/);
  });

  it('keeps no upload when a request fails', async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith('ballast-video-'));
    const form = new FormData();
    form.append('video', new Blob([new Uint8Array(two)]), 'clip.mp4');
    form.append('options', 'x');
    expectProblem(await judge('', form), 400, /A text field came as "options"/);
    const after = (await readdir(tmpdir())).filter((name) => name.startsWith('ballast-video-'));
    expect(after).toEqual(before);
  });
});

describe('a folder of models', () => {
  let other: TestServer;
  beforeAll(async () => {
    other = await serveFolder(
      await folderOf({
        one: (yaml) => yaml,
        two: (yaml) => yaml.replace(/^faces:.*(\n[ ]+.*)*\n/m, ''),
        three: (yaml) => yaml.replace('task: deepfake', 'task: classification'),
        four: (yaml) => yaml.replace(/detector: faces.onnx/, 'detector: classifier.onnx'),
      }),
    );
  }, 60_000);
  afterAll(() => other.close());

  const at = (query: string): Promise<Answer> =>
    ask(`${other.url}/v1/deepfake?${query}`, { method: 'POST', body: formOf([two]) });

  it('must be told which where there are several', async () => {
    expectProblem(await at(''), 400, /Several deepfake models are served.*model=one, model=two/);
    expect((await at('model=one')).status).toBe(200);
  });

  it('takes crops alone where a model has no face detector', async () => {
    expectProblem(await at('model=two'), 422, /has no face detector; send aligned faces with faces=crop/);
    expect((await at('model=two&faces=crop')).status).toBe(200);
  });

  it('says why a model cannot be loaded', async () => {
    const { body } = await ask(`${other.url}/v1/models`);
    const models = body['models'] as { name: string; reason: string }[];
    const reasonOf = (name: string): string => models.find((model) => model.name === name)!.reason;
    expect(reasonOf('three')).toMatch(/faces and verdict are for models of task: deepfake/);
    expect(reasonOf('four')).toMatch(/no face detector whose outputs are known: it has "logits"/);
  });
});
