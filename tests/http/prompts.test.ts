import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { readSafetensors } from '#ballast/runtime/safetensors.js';
import { jobListSchema, jobSchema } from '#ballast/server/job-text.js';
import { predictResponseSchema } from '#ballast/server/schemas.js';
import { addDigits, digitPng, digitsFolder, digitShots, digitZip } from './support/digits.js';
import { eventsOf, fit, fitted, until } from './support/digits.js';
import { formOf } from './support/pictures.js';
import { ask, post, serveFolder, type Answer, type TestServer } from './support/server.js';

type Job = z.output<typeof jobSchema>;

const SMALL = 'queries=1500&batch=8&samples=2';
const LONG = 'queries=10000000&batch=8&samples=2';

let server: TestServer;
let zip: Buffer;
let pictures: Buffer[];
let first: Job;

beforeAll(async () => {
  const folder = await digitsFolder();
  await addDigits(folder, 'second');
  server = await serveFolder(folder);
  zip = await digitZip();
  pictures = await Promise.all(Array.from({ length: 17 }, (_, i) => digitPng(i % 10, 100 + i)));
  first = await fitted(server.url, zip, `${SMALL}&seed=7`);
});
afterAll(() => server.close());

const at = (path: string): string => `${server.url}/v1/models/digits/prompts${path}`;
const versions = async (): Promise<Answer['body']> => (await ask(at(''))).body;
const act = (version: string): Promise<Answer> => ask(at(`/${version}/activate`), { method: 'POST' });
const cancel = (id: string): Promise<Answer> => ask(`${server.url}/v1/jobs/${id}`, { method: 'DELETE' });

async function predict(query: string, files = pictures): Promise<z.output<typeof predictResponseSchema>> {
  const { status, body } = await ask(`${server.url}/v1/models/digits/predict?top=10&${query}`, {
    method: 'POST',
    body: formOf(files),
  });
  expect(status, JSON.stringify(body)).toBe(200);
  return predictResponseSchema.strict().parse(body);
}

/** Probabilities `[N][K]` in the order of the classes. */
const classes = ({ predictions }: z.output<typeof predictResponseSchema>): number[][] =>
  predictions.map(({ top }) => top.toSorted((a, b) => a.index - b.index).map((one) => one.probability));

/** The tensors of a version's file. */
async function tensorsOf(version: string, model = 'digits'): Promise<[string, Buffer][]> {
  const file = join(server.folder, model, 'prompts', `${version}.safetensors`);
  const { tensors } = readSafetensors(await readFile(file), file);
  return [...tensors].map(([name, { data }]) => [name, Buffer.from(data.buffer)]);
}

describe('a job that fits a prompt', () => {
  it('ends with a version, its file and its card', async () => {
    expect(first).toMatchObject({ kind: 'prompt', model: 'digits', state: 'succeeded', pictures: 16 });
    expect(first.result).toMatchObject({
      prompt: '1',
      verdict: expect.stringContaining('prompt 1: ') as string,
    });
    expect(Date.parse(first.finished!)).toBeGreaterThanOrEqual(Date.parse(first.created));
    const { model, versions: listed } = await versions();
    expect(model).toBe('digits');
    expect(listed).toMatchObject([
      {
        version: '1',
        card: {
          pictures: 16,
          classes: ['0', '1', '2', '3'],
          options: { seed: 7, queries: 1500, samples: 2, batchSize: 8 },
          base: first.result!.base,
          validation: first.result!.validation,
        },
      },
    ]);
    expect((await tensorsOf('1')).map(([name]) => name)).toEqual(['parameters', 'statistics']);
    // Shots and checkpoints are not kept once they are of no use.
    const folder = join(server.folder, 'digits', 'prompts', 'jobs', first.id);
    expect(await readdir(folder)).toEqual(['job.json']);
  });

  it('asks as often as it says, within its budget, and the metric counts that', async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const [, counted] = /ballast_prompt_queries_total\{model="digits",purpose="fit"\} (\d+)/.exec(text)!;
    expect(first.progress!.queries).toBeLessThanOrEqual(1500);
    expect(Number(counted)).toBe(first.progress!.queries);
    expect(await versions()).toMatchObject({ versions: [{ card: { queries: Number(counted) } }] });
  });

  it('makes the same numbers of the same shots and seed, however they came', async () => {
    const shots = await digitShots(4, 4);
    const pairs = new FormData();
    for (const { name, bytes } of shots) {
      pairs.append('image', new Blob([Uint8Array.from(bytes)]), name);
      pairs.append('label', name.split('/')[1]);
    }
    const asFile = formOf([zip]);
    for (const [version, body] of [
      ['2', pairs],
      ['3', asFile],
    ] as const) {
      const { status, headers, body: job } = await ask(at(`?${SMALL}&seed=7`), { method: 'POST', body });
      expect(status, JSON.stringify(job)).toBe(202);
      const { id, state } = jobSchema.strict().parse(job);
      expect(headers.get('location')).toBe(`/v1/jobs/${id}`);
      expect(state).toBe('queued');
      const { job: ended } = (await eventsOf(server.url, id)).at(-1)!;
      expect(ended.result!.prompt).toBe(version);
      expect(await tensorsOf(version)).toEqual(await tensorsOf('1'));
      expect(ended.result!.validation).toEqual(first.result!.validation);
    }
  });

  it('tells of its progress as events, the last one named by its state', async () => {
    const { body } = await fit(server.url, zip, 'queries=6000&batch=8&samples=2', 'second');
    const events = await eventsOf(server.url, String(body['id']));
    expect(events.at(-1)!.name).toBe('succeeded');
    const progress = events.filter(({ name }) => name === 'progress');
    expect(progress).toHaveLength(events.length - 1);
    const steps = progress.flatMap(({ job }) => job.progress?.step ?? []);
    expect(steps.length).toBeGreaterThan(1);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    for (const { job } of events) expect(job.progress?.queries ?? 0).toBeLessThanOrEqual(6_000);
    // Whoever comes late hears the end.
    expect(await eventsOf(server.url, String(body['id']))).toEqual(events.slice(-1));
  });

  it('is listed, the latest first, and can be looked at', async () => {
    const { jobs } = jobListSchema.strict().parse((await ask(`${server.url}/v1/jobs`)).body);
    expect(jobs.map(({ created }) => created)).toEqual(
      jobs.map(({ created }) => created).toSorted((a, b) => (a < b ? 1 : -1)),
    );
    expect(jobs.at(-1)).toEqual(first);
    expect((await ask(`${server.url}/v1/jobs/${first.id}`)).body).toEqual(first);
  });

  it('leaves nothing when it is cancelled, and another can begin', async () => {
    const before = await versions();
    const { body } = await fit(server.url, zip, LONG);
    const id = String(body['id']);
    const following = eventsOf(server.url, id);
    await until(async () => (await ask(`${server.url}/v1/jobs/${id}`)).body['progress']);
    const second = await fit(server.url, zip, SMALL);
    expect(second.status).toBe(409);
    expect(second.body['detail']).toContain(`DELETE /v1/jobs/${id}`);
    expect(await cancel(id)).toMatchObject({ status: 200, body: { id, state: 'cancelled' } });
    expect((await following).at(-1)).toMatchObject({ name: 'cancelled' });
    expect(await versions()).toEqual(before);
    const folder = join(server.folder, 'digits', 'prompts', 'jobs', id);
    await until(async () => ((await readdir(folder)).join() === 'job.json' ? true : undefined));
    expect((await cancel(id)).body['state']).toBe('cancelled');
    expect((await cancel(first.id)).body['state']).toBe('succeeded');
  });
  it('is cancelled at once where it waits for the job of another model', async () => {
    const [running, waiting] = [
      await fit(server.url, zip, LONG),
      await fit(server.url, zip, LONG, 'second'),
    ].map(({ body }) => String(body['id']));
    const stuck = new Promise<string>((resolve) => setTimeout(resolve, 1500, 'still waits'));
    const ended = cancel(waiting).then(({ body }) => body['state']);
    const outcome = await Promise.race([ended, stuck]);
    await cancel(running);
    await ended;
    expect(outcome).toBe('cancelled');
  });
});

describe('a prompt', () => {
  it('is drawn where a request asks for it, and not where it says off', async () => {
    await act('off');
    const [bare, prompted, off] = [await predict(''), await predict('prompt=1'), await predict('prompt=off')];
    expect(bare.adaptation).not.toHaveProperty('prompt');
    expect(off.adaptation).not.toHaveProperty('prompt');
    expect(prompted.adaptation.prompt).toEqual({ version: '1' });
    expect(prompted.timings_ms.prompt).toBeGreaterThan(0);
    expect(classes(off)).toEqual(classes(bare));
    expect(classes(prompted)).not.toEqual(classes(bare));
  });

  it('goes to every request once it is active, until none is', async () => {
    const activated = await act('1');
    expect(activated).toMatchObject({ status: 200, body: { model: 'digits', active: '1' } });
    expect((await predict('')).adaptation.prompt).toEqual({ version: '1' });
    expect((await predict('prompt=off')).adaptation).not.toHaveProperty('prompt');
    expect((await predict('prompt=2')).adaptation.prompt).toEqual({ version: '2' });
    expect((await act('off')).body['active']).toBeNull();
    expect((await predict('')).adaptation).not.toHaveProperty('prompt');
  });

  it('keeps each picture to itself: alone or among 16 others, its answer is the same', async () => {
    const together = classes(await predict('prompt=1'));
    const alone = await Promise.all(pictures.map((one) => predict('prompt=1', [one])));
    alone.forEach((answer, i) => {
      const [row] = classes(answer);
      row.forEach((p, k) => {
        expect(Math.abs(p - together[i][k])).toBeLessThan(1e-4);
      });
    });
  });

  it('serves the Open Inference Protocol, and names its version among the parameters', async () => {
    const size = 3 * 64 * 64;
    const metadata = await ask(`${server.url}/v2/models/digits`);
    const [{ name }] = metadata.body['inputs'] as { name: string }[];
    const data = Array.from({ length: size }, (_, i) => (i % 97) / 97);
    const infer = (parameters: object): Promise<Answer> =>
      post(`${server.url}/v2/models/digits/infer`, {
        inputs: [{ name, shape: [1, 3, 64, 64], datatype: 'FP32', data }],
        parameters,
      });
    const [bare, number, text] = [await infer({}), await infer({ prompt: 1 }), await infer({ prompt: '1' })];
    expect(bare.status, JSON.stringify(bare.body)).toBe(200);
    expect(number.body['parameters']).toMatchObject({ prompt_version: '1' });
    expect(text.body['outputs']).toEqual(number.body['outputs']);
    expect(number.body['outputs']).not.toEqual(bare.body['outputs']);
    expect(bare.body['parameters'] ?? {}).not.toHaveProperty('prompt_version');
    expect((await infer({ prompt: true })).status).toBe(400);
    expect((await infer({ prompt: 99 })).status).toBe(404);
  });

  it('can be looked at: the picture, the change and the prompted picture', async () => {
    for (const init of [
      { body: formOf(pictures.slice(0, 1)) },
      { body: Uint8Array.from(pictures[0]), headers: { 'content-type': 'image/png' } },
    ]) {
      const response = await fetch(at('/1/preview'), { method: 'POST', ...init });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('image/png');
      const { format, width, height } = await sharp(await response.arrayBuffer()).metadata();
      expect({ format, width, height }).toEqual({ format: 'png', width: 3 * 256 + 2 * 8, height: 256 });
    }
  });

  it('can be deleted, and is then active no more', async () => {
    await act('3');
    expect((await ask(at('/3'), { method: 'DELETE' })).status).toBe(204);
    expect(await versions()).toMatchObject({ active: null, versions: [{ version: '1' }, { version: '2' }] });
    expect((await predict('')).adaptation).not.toHaveProperty('prompt');
    expect((await ask(at('/3'), { method: 'DELETE' })).status).toBe(404);
  });

  it('has its routes in the OpenAPI document', async () => {
    const { body } = await ask(`${server.url}/openapi.json`);
    const paths = body['paths'] as Record<string, object>;
    const prompts = '/v1/models/{model}/prompts';
    expect(Object.keys(paths[prompts])).toEqual(expect.arrayContaining(['get', 'post']));
    expect(paths[`${prompts}/{prompt}`]).toHaveProperty('delete');
    expect(paths[`${prompts}/{prompt}/activate`]).toHaveProperty('post');
    expect(paths[`${prompts}/{prompt}/preview`]).toHaveProperty('post');
    expect(paths['/v1/jobs']).toHaveProperty('get');
    expect(Object.keys(paths['/v1/jobs/{id}'])).toEqual(expect.arrayContaining(['get', 'delete']));
    expect(paths['/v1/jobs/{id}/events']).toHaveProperty('get');
  });
});
