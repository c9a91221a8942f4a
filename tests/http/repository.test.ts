import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { indexResponseSchema, modelListSchema } from '#ballast/server/schemas.js';
import { addModel } from './support/models.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post, startServer, type TestServer } from './support/server.js';

let server: TestServer;
let picture: Buffer;

beforeAll(async () => {
  server = await startServer(['pictures', 'add_sub']);
  picture = await jpeg(3);
});
afterAll(() => server.close());

const repository = (path: string, body: unknown = ''): ReturnType<typeof post> =>
  post(`${server.url}/v2/repository/${path}`, body);
const predict = (model = 'pictures'): ReturnType<typeof ask> =>
  ask(`${server.url}/v1/models/${model}/predict`, { method: 'POST', body: formOf([picture]) });

/** The class that a model finds in the picture; "undefined" where it does not serve. */
async function labelOf(model: string): Promise<string> {
  const { body } = await predict(model);
  return String((body['predictions'] as { label: string }[] | undefined)?.[0].label);
}

async function index(body: unknown = ''): Promise<Record<string, string>> {
  const { status, body: models } = await repository('index', body);
  expect(status).toBe(200);
  return Object.fromEntries(indexResponseSchema.parse(models).map(({ name, state }) => [name, state]));
}

describe('the model repository', () => {
  it('lists, unloads and loads', async () => {
    expect(await index()).toEqual({ add_sub: 'READY', pictures: 'READY' });
    expect((await repository('models/pictures/unload')).status).toBe(200);
    expect(await index()).toEqual({ add_sub: 'READY', pictures: 'UNAVAILABLE' });
    expect(await index({ ready: true })).toEqual({ add_sub: 'READY' });
    const gone = await predict();
    expect(gone.status).toBe(503);
    expect(gone.headers.get('retry-after')).toMatch(/^\d+$/);
    const ready = await ask(`${server.url}/v2/models/pictures/ready`);
    expect(ready).toMatchObject({ status: 503, body: { name: 'pictures', ready: false } });
    expect((await ask(`${server.url}/v2/health/ready`)).status).toBe(200);
    expect((await repository('models/pictures/load', {})).status).toBe(200);
    expect((await predict()).status).toBe(200);
    const list = modelListSchema.parse((await ask(`${server.url}/v1/models`)).body);
    expect(list.models.find(({ name }) => name === 'pictures')).toMatchObject({
      state: 'READY',
      provider: 'cpu',
      labels: 10,
      inputs: ['image'],
      lame: 'request',
    });
  });

  it('loads a model that was added, and a version above the one that serves', async () => {
    await addModel(server.folder, 'pictures', { as: 'more' });
    expect((await repository('models/more/load')).status).toBe(200);
    expect((await predict('more')).status).toBe(200);
    await addModel(join(server.folder, 'more'), 'pictures', { as: '2' });
    await writeFile(
      join(server.folder, 'more', '2', 'model.yaml'),
      'name: more\ninputs: { image: { kind: image, width: 32, height: 32 } }\nclassifier: { file: model.onnx }\n',
    );
    expect((await repository('models/more/load')).status).toBe(200);
    expect((await predict('more')).body).toMatchObject({
      version: '2',
      predictions: [{ label: expect.stringMatching(/^\d$/) as string }],
    });
    const first = await ask(`${server.url}/v2/models/more/versions/1`);
    expect(first.body).toMatchObject({ versions: ['1', '2'] });
  });

  it('reloads without losing a request', async () => {
    let loading = true;
    const reload = (async () => {
      for (let i = 0; i < 3; i++) expect((await repository('models/pictures/load')).status).toBe(200);
      loading = false;
    })();
    let answered = 0;
    while (loading as boolean) {
      const answers = await Promise.all([predict(), predict(), predict(), predict()]);
      for (const { status, body } of answers) expect(status, JSON.stringify(body)).toBe(200);
      answered += answers.length;
    }
    await reload;
    expect(answered).toBeGreaterThan(4);
  });

  it.each(['load', 'unload'])('ends a request whose upload outlasts its model: %s', async (verb) => {
    await addModel(server.folder, 'pictures', { as: verb });
    expect((await repository(`models/${verb}/load`)).status).toBe(200);
    const headers = { 'content-type': 'image/jpeg', 'content-length': picture.length };
    const upload = request(`${server.url}/v1/models/${verb}/predict`, { method: 'POST', headers });
    const answer = once(upload, 'response') as Promise<[IncomingMessage]>;
    upload.write(picture.subarray(0, 100));
    // The server has taken the upload up before it answers what came after it.
    expect(await labelOf(verb)).toMatch(/^[a-z]+$/);
    await writeFile(
      join(server.folder, verb, 'model.yaml'),
      `name: ${verb}\ninputs: { image: { kind: image, width: 32, height: 32 } }\nclassifier: { file: model.onnx }\n`,
    );
    const change = repository(`models/${verb}/${verb}`);
    const after = verb === 'load' ? /^\d$/ : /^undefined$/;
    await expect.poll(() => labelOf(verb), { timeout: 10_000 }).toMatch(after);
    upload.end(picture.subarray(100));
    const [response] = await answer;
    const body = JSON.parse(await text(response)) as { predictions: { label: string }[] };
    expect(response.statusCode).toBe(200);
    expect(body.predictions[0].label).toMatch(/^[a-z]+$/);
    expect((await change).status).toBe(200);
    expect(await labelOf(verb)).toMatch(after);
  });

  it('lets go of a model whose upload is broken off', async () => {
    await addModel(server.folder, 'pictures', { as: 'broken' });
    expect((await repository('models/broken/load')).status).toBe(200);
    const headers = { 'content-type': 'image/jpeg', 'content-length': picture.length };
    const upload = request(`${server.url}/v1/models/broken/predict`, { method: 'POST', headers });
    upload.on('error', () => undefined);
    upload.write(picture.subarray(0, 100));
    await labelOf('broken');
    upload.destroy();
    expect((await repository('models/broken/unload')).status).toBe(200);
  });

  it('says what is wrong with a model, and serves on', async () => {
    await addModel(server.folder, 'pictures', {
      as: 'typo',
      yaml: 'inptus: {}\nclassifier: { file: model.onnx }\n',
    });
    const typo = await repository('models/typo/load');
    expect(typo.status).toBe(422);
    expect(typo.body['error']).toMatch(/model\.yaml.*inptus/s);
    await addModel(server.folder, 'pictures', { as: 'half' });
    await writeFile(join(server.folder, 'half', 'model.onnx'), Buffer.alloc(500, 8));
    const half = await repository('models/half/load');
    expect(half.status).toBe(422);
    expect(half.body['error']).toMatch(/ONNX/);
    expect(await index()).toMatchObject({ typo: 'UNAVAILABLE', half: 'UNAVAILABLE', add_sub: 'READY' });
    expect((await ask(`${server.url}/v2/health/ready`)).status).toBe(200);
    expect((await predict()).status).toBe(200);
  });

  it('refuses what it does not know', async () => {
    expect((await repository('models/nobody/load')).status).toBe(404);
    expect((await repository('models/nobody/unload')).status).toBe(404);
    expect((await repository('index', '{"ready":"yes"}')).status).toBe(400);
    expect((await repository('index', '{')).status).toBe(400);
    const config = await repository('models/pictures/load', { parameters: { config: '{}' } });
    expect(config.status).toBe(400);
    expect(config.body['error']).toContain('model.yaml');
    const file = await repository('models/pictures/load', { parameters: { 'file:1/model.onnx': 'CAg=' } });
    expect(file.status).toBe(400);
    expect(file.body['error']).toMatch(/"file:1\/model.onnx" is not taken/);
  });

  it('can be closed to clients', async () => {
    const closed = await startServer(['add_sub'], { repositoryControl: false });
    const answer = await post(`${closed.url}/v2/repository/models/add_sub/unload`, {});
    expect(answer.status).toBe(404);
    expect(answer.body['error']).toContain('--repository-control');
    expect((await post(`${closed.url}/v2/repository/index`, {})).status).toBe(200);
    await closed.close();
  });
});

describe('metrics', () => {
  it('counts requests by model, route and status, with bounded labels', async () => {
    for (let i = 0; i < 3; i++) await ask(`${server.url}/v1/models/ghost-${i}/predict`, { method: 'POST' });
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    const text = await response.text();
    expect(text).not.toContain('ghost');
    const value = (line: string): number =>
      Number(
        text
          .split('\n')
          .find((each) => each.startsWith(`${line} `))
          ?.split(' ')
          .at(-1),
      );
    expect(
      value('ballast_requests_total{model="pictures",route="/v1/models/{model}/predict",code="200"}'),
    ).toBeGreaterThan(5);
    expect(value('ballast_requests_total{model="",route="/v1/models/{model}/predict",code="404"}')).toBe(3);
    expect(value('ballast_model_info{model="pictures",version="1",provider="cpu"}')).toBe(1);
    expect(value('ballast_queue_depth{model="pictures"}')).toBe(0);
    expect(value('ballast_streams')).toBe(0);
    for (const name of [
      'ballast_request_duration_seconds_count{model="pictures",route="/v1/models/{model}/predict"}',
      'ballast_queue_duration_seconds_count{model="pictures"}',
      'ballast_stage_duration_seconds_count{model="pictures",stage="decode"}',
      'ballast_stage_duration_seconds_count{model="pictures",stage="forward"}',
      'ballast_batch_size_count{model="pictures"}',
      'ballast_lame_iterations_count{model="pictures"}',
      'ballast_prediction_confidence_count{model="pictures",output="base"}',
      'ballast_prediction_confidence_count{model="pictures",output="adapted"}',
    ]) {
      expect(value(name), name).toBeGreaterThan(0);
    }
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).toContain('nodejs_eventloop_lag_seconds');
  });
});
