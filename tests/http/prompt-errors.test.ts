import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { addDigits, digitsFolder, digitZip, fit, fitted } from './support/digits.js';
import { writeDigitsYaml } from './support/digits.js';
import { formOf, jpeg } from './support/pictures.js';
import { expectProblem } from './support/problems.js';
import { ask, serveFolder, type Answer, type TestServer } from './support/server.js';

const SMALL = 'queries=400&batch=4&samples=1';
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

let server: TestServer;
let zip: Buffer;

beforeAll(async () => {
  const folder = await digitsFolder();
  await addDigits(folder, 'certified');
  await certify(folder);
  server = await serveFolder(folder);
  zip = await digitZip(3, 4);
  expect(await fitted(server.url, zip, SMALL)).toMatchObject({ state: 'succeeded' });
});
afterAll(() => server.close());
// Whatever was wrong, the server still answers.
afterEach(async () => {
  expect((await predict('prompt=off')).status).toBe(200);
});

/** Makes a copy of digits a mixture that gives a certificate with every answer. */
async function certify(folder: string): Promise<void> {
  const target = join(folder, 'certified');
  await copyFile(fixture('resnet-torchscript'), join(target, 'classifier.onnx'));
  await copyFile(fixture('squeezenet-torchscript'), join(target, 'robust.onnx'));
  await writeFile(
    join(target, 'model.yaml'),
    `name: certified
inputs: { image: { kind: image, width: 32, height: 32 } }
classifier: { file: classifier.onnx }
robust: { file: robust.onnx }
smoothing: { alpha: 0.9, certificate: { kind: lipschitz, constant: 2 } }
prompt: { coordinator: coordinator.onnx }
`,
  );
}

const at = (path: string, model = 'digits'): string => `${server.url}/v1/models/${model}/prompts${path}`;
const load = (model = 'digits'): Promise<Answer> =>
  ask(`${server.url}/v2/repository/models/${model}/load`, { method: 'POST' });

async function predict(query: string, model = 'digits'): Promise<Answer> {
  const url = `${server.url}/v1/models/${model}/predict?${query}`;
  return ask(url, { method: 'POST', body: formOf([await jpeg(1, 64)]) });
}

describe('a version or job that is none', () => {
  it('is answered 404 with those there are', async () => {
    const sentence = /^There is no prompt version "9"; there are 1/;
    expectProblem(await predict('prompt=9'), 404, sentence);
    expectProblem(await ask(at('/9/activate'), { method: 'POST' }), 404, sentence);
    expectProblem(await ask(at('/9'), { method: 'DELETE' }), 404, sentence);
    expectProblem(
      await ask(at('/9/preview'), { method: 'POST', body: formOf([await jpeg(1)]) }),
      404,
      sentence,
    );
    for (const path of ['/v1/jobs/none', '/v1/jobs/none/events']) {
      expectProblem(await ask(`${server.url}${path}`), 404, /^There is no job "none"/);
    }
    expectProblem(await ask(`${server.url}/v1/jobs/none`, { method: 'DELETE' }), 404, /no job "none"/);
  });

  it('is no way out of the folder of prompts', async () => {
    const prompts = join(server.folder, 'digits', 'prompts');
    await copyFile(join(prompts, '1.safetensors'), join(server.folder, 'digits', 'outside.safetensors'));
    for (const version of ['..%2Foutside', '%2e%2e%2Foutside', 'jobs%2F..%2F1', '01']) {
      expect((await ask(at(`/${version}/activate`), { method: 'POST' })).status, version).toBe(404);
      const preview = await ask(at(`/${version}/preview`), { method: 'POST', body: formOf([await jpeg(1)]) });
      expect(preview.status, version).toBe(404);
      expect((await ask(at(`/${version}`), { method: 'DELETE' })).status, version).toBe(404);
    }
    for (const query of ['prompt=on', 'prompt=0', 'prompt=', 'prompt=..%2Foutside']) {
      expectProblem(await predict(query), 400, /"prompt"/);
    }
  });

  it('is previewed of one picture alone', async () => {
    const preview = (body: FormData): Promise<Answer> => ask(at('/1/preview'), { method: 'POST', body });
    expectProblem(await preview(formOf([await jpeg(1), await jpeg(2)])), 400, /^2 pictures came; send one/);
    expectProblem(await preview(formOf([Buffer.from('no picture')])), 415, /not a picture that can be read/);
    const text = await ask(at('/1/preview'), {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    expectProblem(text, 415, /Send one picture/);
  });
});

describe('a prompt beside a certificate', () => {
  it('is refused where the certificate is asked for', async () => {
    expect((await predict('certify=on', 'certified')).status).toBe(200);
    expectProblem(await predict('certify=on&prompt=1', 'certified'), 422, /send prompt=off with certify=on/);
    expect((await predict('certify=on&prompt=off', 'certified')).status).toBe(200);
  });
  it('comes without a certificate where none was asked for', async () => {
    const small = await fitted(server.url, zip, SMALL, 'certified');
    expect(small.error ?? small.state).toBe('succeeded');
    const { status, body } = await predict('prompt=1', 'certified');
    expect(status).toBe(200);
    for (const one of body['predictions'] as object[]) expect(one).not.toHaveProperty('certificate');
  });
});

describe('files of prompts', () => {
  const file = (name: string): string => join(server.folder, 'digits', 'prompts', name);

  it('that model.yaml pins cannot be deleted, and nothing else made active', async () => {
    await writeDigitsYaml(server.folder, 'digits', '{ coordinator: coordinator.onnx, version: 1 }');
    expect((await load()).status).toBe(200);
    expect((await predict('')).body['adaptation']).toEqual({ prompt: { version: '1' } });
    expectProblem(await ask(at('/1'), { method: 'DELETE' }), 409, /model\.yaml pins prompt\.version to 1/);
    expectProblem(await ask(at('/off/activate'), { method: 'POST' }), 409, /pins.*set it to latest/);
    await writeDigitsYaml(server.folder, 'digits', '{ coordinator: coordinator.onnx, version: 8 }');
    expect(JSON.stringify((await load()).body)).toMatch(/no prompt version \\"8\\"; there are 1/);
    expect((await predict('')).body['adaptation']).toEqual({ prompt: { version: '1' } });
    await writeDigitsYaml(server.folder, 'digits', '{ coordinator: coordinator.onnx, version: latest }');
    expect((await load()).status).toBe(200);
  });

  it('that are cut short, or of another strength, are told of, and prompt=off still works', async () => {
    const whole = await readFile(file('1.safetensors'));
    await writeFile(file('7.safetensors'), whole.subarray(0, 500));
    const cut = await predict('prompt=7');
    expect(cut.status).toBeGreaterThanOrEqual(400);
    expect(cut.body['detail']).toMatch(/^7\.safetensors is no sound safetensors file: /);
    await rm(file('7.safetensors'));
    await writeDigitsYaml(server.folder, 'digits', '{ coordinator: coordinator.onnx, epsilon: 0.5 }');
    expect((await load()).status).toBe(200);
    expectProblem(await predict('prompt=1'), 422, /fitted with epsilon 1, and model\.yaml says 0\.5/);
    await writeDigitsYaml(server.folder, 'digits', '{ coordinator: coordinator.onnx }');
    expect((await load()).status).toBe(200);
    expect((await predict('prompt=1')).status).toBe(200);
  });
  it('that are damaged do not hide the others in the list', async () => {
    await writeFile(file('7.safetensors'), 'damaged');
    const { status, body } = await ask(at(''));
    await rm(file('7.safetensors'));
    expect(status).toBe(200);
    expect(body['versions']).toMatchObject([
      { version: '1' },
      { version: '7', problem: expect.stringContaining('7.safetensors is no sound') as unknown },
    ]);
  });

  it('that were fitted for another coordinator are told of', async () => {
    const other = join(server.folder, 'other', 'prompts');
    await mkdir(other, { recursive: true });
    await addDigits(server.folder, 'other');
    const encoder = join(server.folder, 'other', 'coordinator.onnx');
    // An unknown field of the model's own format: the same network in other bytes.
    await writeFile(encoder, Buffer.concat([await readFile(encoder), Buffer.from([0xa2, 0x06, 0x00])]));
    await copyFile(file('1.safetensors'), join(other, '1.safetensors'));
    expect((await load('other')).status).toBe(200);
    expectProblem(await predict('prompt=1', 'other'), 422, /another coordinator than the one in model\.yaml/);
    expect((await predict('prompt=off', 'other')).status).toBe(200);
  });

  it('that cannot be written refuse a job with 503, and leave nothing behind', async () => {
    await rm(file('jobs'), { recursive: true });
    await writeFile(file('jobs'), 'a file where a folder should be');
    const before = await readdir(file(''));
    const { jobs } = (await ask(`${server.url}/v1/jobs`)).body;
    const answer = await fit(server.url, zip, SMALL);
    expectProblem(answer, 503, /cannot be written/);
    expect(await readdir(file(''))).toEqual(before);
    expect((await ask(`${server.url}/v1/jobs`)).body['jobs']).toEqual(jobs);
    await rm(file('jobs'));
    expect(await fitted(server.url, zip, SMALL)).toMatchObject({ state: 'succeeded' });
  });
});
