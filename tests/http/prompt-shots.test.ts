import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { zipOf, type ZipEntry } from '../fixtures/zip.js';
import { addDigits, digitsFolder, digitShots, fit, fitted } from './support/digits.js';
import { addModel } from './support/models.js';
import { formOf, jpeg } from './support/pictures.js';
import { expectProblem } from './support/problems.js';
import { ask, serveFolder, type Answer, type TestServer } from './support/server.js';

const SMALL = 'queries=400&batch=4&samples=1';

let server: TestServer;
let shots: ZipEntry[];
let zip: Buffer;

beforeAll(async () => {
  const folder = await digitsFolder();
  await addDigits(folder, 'plain', '');
  await addModel(folder, 'add_sub');
  server = await serveFolder(folder);
  shots = await digitShots(3, 4);
  zip = zipOf(shots);
});
afterAll(() => server.close());
// Whatever was wrong, the server still answers.
afterEach(async () => {
  expect((await predict('')).status).toBe(200);
});

const at = (path: string, model = 'digits'): string => `${server.url}/v1/models/${model}/prompts${path}`;
const picture = (): Blob => new Blob([Uint8Array.from(shots[0].bytes)]);

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
  it.each<[string, string, () => Uint8Array]>([
    ['is no picture', 'a/1/notes.txt', () => Buffer.from('a note')],
    ['is a picture cut short', 'a/1/cut.png', () => shots[0].bytes.subarray(0, 60)],
  ])('are refused by name where a file of the zip %s', async (_, name, bytes) => {
    const answer = await fit(server.url, zipOf([...shots, { name, bytes: bytes() }]), SMALL);
    expectProblem(answer, 400, new RegExp(name));
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
    ['queries=many', /"queries" is wrong: found "many"; it must be a number\./],
    ['queries=0', /"queries" is wrong/],
    ['queries=1.5', /"queries" is wrong/],
    ['queries=', /"queries" is wrong/],
    ['validation=1', /"validation" is wrong/],
    ['samples=0', /"samples" is wrong: found 0; it must be at least 1\./],
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
