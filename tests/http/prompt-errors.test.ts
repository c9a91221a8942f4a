import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { zipOf, type ZipEntry } from '../fixtures/zip.js';
import { addDigits, digitsFolder, digitShots, digitZip, fit, fitted } from './support/digits.js';
import { writeDigitsYaml } from './support/digits.js';
import { addModel } from './support/models.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, serveFolder, type Answer, type TestServer } from './support/server.js';

const SMALL = 'queries=400&batch=4&samples=1';
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

let server: TestServer;
let shots: ZipEntry[];
let zip: Buffer;

beforeAll(async () => {
  const folder = await digitsFolder();
  await addDigits(folder, 'plain', undefined);
  await addDigits(folder, 'certified');
  await certify(folder);
  await addModel(folder, 'add_sub');
  server = await serveFolder(folder);
  shots = await digitShots(3, 4);
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
const picture = (): Blob => new Blob([Uint8Array.from(shots[0].bytes)]);
const load = (model = 'digits'): Promise<Answer> =>
  ask(`${server.url}/v2/repository/models/${model}/load`, { method: 'POST' });

async function predict(query: string, model = 'digits'): Promise<Answer> {
  const url = `${server.url}/v1/models/${model}/predict?${query}`;
  return ask(url, { method: 'POST', body: formOf([await jpeg(1, 64)]) });
}

function formWith(images: number, labels: readonly string[]): FormData {
  const form = new FormData();
  for (let i = 0; i < images; i++) form.append('image', picture(), `${i}.png`);
  for (const label of labels) form.append('label', label);
  return form;
}

function expectProblem({ status, body }: Answer, wanted: number, detail: RegExp): void {
  expect({ status, detail: body['detail'] }).toEqual({
    status: wanted,
    detail: expect.stringMatching(detail) as string,
  });
}

describe('shots that cannot be fitted to', () => {
  const relabelled = (label: (entry: ZipEntry, i: number) => string): Buffer =>
    zipOf(shots.map((entry, i) => ({ ...entry, name: `${label(entry, i)}/${i}.png` })));

  it.each<[string, () => Uint8Array, RegExp]>([
    ['of one class', () => relabelled(() => '4'), /^All 12 pictures are of one class/],
    [
      'of a label that is none',
      () => relabelled((_, i) => (i === 5 ? 'five' : '4')),
      /^five\/5\.png has the label "five", which is no class of model "digits"; its classes are 0, 1, /,
    ],
    ['too few', () => zipOf([shots[0], shots[4]]), /^2 pictures are too few: .*two pictures each/],
    [
      'a file that is no picture',
      () => zipOf([...shots, { name: 'a/1/notes.txt', bytes: Buffer.from('a note') }]),
      /notes\.txt/,
    ],
    [
      'a picture that is cut short',
      () => zipOf([...shots, { name: 'a/1/cut.png', bytes: shots[0].bytes.subarray(0, 60) }]),
      /cut\.png/,
    ],
    ['no zip', () => Buffer.from('not a zip'), /^The zip cannot be read: ./],
    ['a zip that is cut short', () => zip.subarray(0, zip.length - 40), /^The zip cannot be read: ./],
    [
      'a zip without folders',
      () => zipOf([{ name: '1.png', bytes: shots[0].bytes }]),
      /folder for each class/,
    ],
    ['an empty body', () => Buffer.alloc(0), /./],
  ])('are refused: %s', async (_, body, detail) => {
    expectProblem(await fit(server.url, body(), SMALL), 400, detail);
  });

  it.each<[string, () => FormData, RegExp]>([
    ['more pictures than labels', () => formWith(3, ['1', '2']), /^3 pictures came, and 2 labels; send one/],
    ['more labels than pictures', () => formWith(1, ['1', '2']), /^1 pictures came, and 2 labels/],
    ['no picture', () => formWith(0, ['1']), /^No picture came; send files as "image"/],
    ['an unknown label', () => formWith(2, ['1', 'x']), /^image\[1\] \(1\.png\) has the label "x"/],
    [
      'another field',
      () => {
        const form = formWith(1, ['1']);
        form.append('seed', '1');
        return form;
      },
      /"seed"; only "label" is one\. Options go into the query/,
    ],
    ['another file', () => formOf([zip], 'zip'), /A file came as "zip"; pictures, or a zip, come as "image"/],
  ])('are refused as a form: %s', async (_, form, detail) => {
    expectProblem(await ask(at(`?${SMALL}`), { method: 'POST', body: form() }), 400, detail);
  });

  it('are refused as text with 415, which names what is taken', async () => {
    const answer = await ask(at(''), {
      method: 'POST',
      body: 'text',
      headers: { 'content-type': 'text/plain' },
    });
    expectProblem(answer, 415, /application\/zip .*multipart\/form-data/);
  });

  it.each([
    ['steps=7', /^There is no option "steps"; there are queries, seed, /],
    ['queries=many', /"queries" is wrong/],
    ['queries=0', /"queries" is wrong/],
    ['queries=1.5', /"queries" is wrong/],
    ['queries=', /"queries" is wrong/],
    ['validation=1', /"validation" is wrong/],
    ['samples=0', /"samples" is wrong/],
    ['beta=1', /"beta" is wrong/],
    ['a=-1', /"a" is wrong/],
    ['c=0', /"c" is wrong/],
    ['a=Infinity', /"a" is wrong/],
    ['correction=adam', /"correction" is wrong/],
    ['seed=-1', /"seed" is wrong/],
  ])('are refused with the option %s', async (query, detail) => {
    expectProblem(await fit(server.url, zip, query), 400, detail);
  });

  it('fail the job with a sentence where the budget is too small', async () => {
    const { state, error, result } = await fitted(server.url, zip, 'queries=10&batch=4&samples=1');
    expect({ state, result }).toEqual({ state: 'failed', result: undefined });
    expect(error).toMatchObject({ code: 'invalid-input' });
    expect(error!.detail).toMatch(/^A budget of 10 queries is too small: one step asks 8, /);
  });

  it('are refused by models that take no prompts', async () => {
    for (const model of ['plain', 'add_sub']) {
      expectProblem(
        await fit(server.url, zip, SMALL, model),
        422,
        /has no coordinator.*prompt\.coordinator in its/,
      );
    }
    expectProblem(await ask(at('', 'plain')), 422, /has no coordinator/);
    expectProblem(
      await predict('prompt=1', 'plain'),
      422,
      /"plain" has no coordinator, so it takes no prompt/,
    );
    expect((await predict('prompt=off', 'plain')).status).toBe(200);
    expect((await fit(server.url, zip, SMALL, 'nobody')).status).toBe(404);
  });
});

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
    expectProblem(await preview(formOf([Buffer.from('no picture')])), 400, /./);
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

  // A Lipschitz certificate comes without being asked for, of the prompted picture.
  it('comes without a certificate where none was asked for', async () => {
    const small = await fitted(server.url, zipOf(shots), SMALL, 'certified');
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

  // Not yet: one damaged file hides all versions, and is told of as if the request were wrong (400).
  it.fails('that are damaged do not hide the others in the list', async () => {
    await writeFile(file('7.safetensors'), 'damaged');
    const { status, body } = await ask(at(''));
    await rm(file('7.safetensors'));
    expect(status).toBe(200);
    expect(body['versions']).toMatchObject([{ version: '1' }]);
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
