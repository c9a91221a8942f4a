import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { predictResponseSchema } from '#ballast/server/schemas.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post, startServer, type TestServer } from './support/server.js';

type Answer = z.output<typeof predictResponseSchema>;

let server: TestServer;
let pictures: Buffer[];
const path = '/v1/models/pictures/predict';

beforeAll(async () => {
  server = await startServer(['pictures', 'add_sub']);
  pictures = await Promise.all(Array.from({ length: 12 }, (_, seed) => jpeg(seed)));
});
afterAll(() => server.close());

async function predict(
  body: RequestInit['body'],
  query = '',
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await ask(`${server.url}${path}${query}`, { method: 'POST', body: body ?? null, headers });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return predictResponseSchema.strict().parse(answer.body);
}

describe('predict', () => {
  it('answers a prediction a file, as the schema says', async () => {
    const answer = await predict(formOf(pictures.slice(0, 3)));
    expect(answer.model).toBe('pictures');
    expect(answer.predictions).toHaveLength(3);
    for (const { label, index, probability, top, base } of answer.predictions) {
      expect(top).toHaveLength(5);
      expect(top[0]).toEqual({ label, index, probability });
      expect(top.map((entry) => entry.probability)).toEqual(
        top.map((entry) => entry.probability).toSorted((a, b) => b - a),
      );
      expect('abcdefghij'.indexOf(base.label[0])).toBe(base.index);
    }
    expect(answer.adaptation.lame).toMatchObject({ scope: 'request', samples: 3 });
    expect(answer.timings_ms.total).toBeGreaterThan(0);
  });

  it('answers the same for multipart, JSON, a data: URL and the picture itself', async () => {
    const [picture] = pictures;
    const base64 = picture.toString('base64');
    const answers = [
      await predict(formOf([picture])),
      await predict(JSON.stringify({ image: base64 }), '', { 'content-type': 'application/json' }),
      await predict(JSON.stringify({ image: [`data:image/jpeg;base64,${base64}`] }), '', {
        'content-type': 'application/json; charset=utf-8',
      }),
      await predict(JSON.stringify({ image: base64.replace(/.{76}/g, '$&\n') }), '', {
        'content-type': 'application/json',
      }),
      await predict(Uint8Array.from(picture), '', { 'content-type': 'image/jpeg' }),
    ];
    for (const answer of answers) expect(answer.predictions).toEqual(answers[0].predictions);
  });

  it('keeps the order of many files, and answers each like alone where LAME is off', async () => {
    const together = await predict(formOf(pictures), '?lame=off');
    const alone = await Promise.all(pictures.map((picture) => predict(formOf([picture]), '?lame=off')));
    expect(together.adaptation).toEqual({});
    for (const [i, { predictions }] of alone.entries()) {
      expect(together.predictions[i].index).toBe(predictions[0].index);
      expect(together.predictions[i].probability).toBeCloseTo(predictions[0].probability, 4);
    }
  });

  it('answers as many classes as asked, at most all', async () => {
    expect((await predict(formOf([pictures[0]]), '?top=1')).predictions[0].top).toHaveLength(1);
    const all = (await predict(formOf([pictures[0]]), '?top=1000')).predictions[0].top;
    expect(all).toHaveLength(10);
    expect(all.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5);
  });

  it('continues a stream, tells of it and forgets it', async () => {
    const stream = `${server.url}/v1/streams/cam-7`;
    expect((await ask(stream)).status).toBe(404);
    for (const picture of pictures.slice(0, 4)) await predict(formOf([picture]), '?stream=cam-7');
    const { adaptation } = await predict(formOf([pictures[4]]), '?stream=cam-7');
    expect(adaptation.lame).toMatchObject({ scope: 'stream', samples: 5 });
    const told = await ask(stream);
    expect(told.body).toMatchObject({ id: 'cam-7', windows: [{ samples: 5 }] });
    expect((await ask(stream, { method: 'DELETE' })).status).toBe(204);
    expect((await ask(stream)).status).toBe(404);
    expect((await ask(stream, { method: 'DELETE' })).status).toBe(404);
  });

  it.each([
    ['?tpo=3', 'tpo'],
    ['?top=0', '"top" is wrong: found 0; it must be at least 1.'],
    ['?top=many', '"top" is wrong: found "many"; it must be a number.'],
    ['?top=1.5', '"top" is wrong: found 1.5; it must be a whole number.'],
    ['?top=1&top=2', 'twice'],
    ['?lame=maybe', '"lame" is wrong: found "maybe"; allowed: "on", "off".'],
    ['?stream=..%2Fx', '"stream" is wrong: found "../x"; it must be up to 128 letters'],
    [`?stream=${'x'.repeat(129)}`, 'stream'],
  ])('refuses the query %s and says why', async (query, named) => {
    const answer = await ask(`${server.url}${path}${query}`, { method: 'POST', body: formOf([pictures[0]]) });
    expect(answer.status).toBe(400);
    expect(answer.type).toBe('application/problem+json');
    expect(answer.body['detail']).toContain(named);
  });

  it.each([
    ['no JSON', '{"image":', 'JSON'],
    ['a list', '[]', '"image"'],
    ['another input', '{"picture":"AAAA"}', '"image"'],
    ['a number', '{"image":[7]}', 'image[0]'],
    ['no base64', '{"image":"hello, world!"}', 'base64'],
    ['a data: URL of text', '{"image":"data:text/plain,hello"}', 'base64'],
    ['nothing', '{"image":[]}', '"image"'],
    ['an empty object', '{}', '"image"'],
  ])('refuses JSON with %s', async (_what, body, named) => {
    const answer = await post(`${server.url}${path}`, body);
    expect(answer.status).toBe(400);
    expect(answer.body['detail']).toContain(named);
  });

  it('refuses parts that are no files of an input, and names the inputs', async () => {
    const wrongName = await ask(`${server.url}${path}`, {
      method: 'POST',
      body: formOf([pictures[0]], 'picture'),
    });
    expect(wrongName.status).toBe(400);
    expect(wrongName.body['detail']).toContain('"image"');
    const form = formOf([pictures[0]]);
    form.append('lame', 'off');
    const withField = await ask(`${server.url}${path}`, { method: 'POST', body: form });
    expect(withField.status).toBe(400);
    expect(withField.body['detail']).toContain('query');
  });

  it('refuses media types that it cannot read', async () => {
    for (const headers of [{ 'content-type': 'text/plain' }, { 'content-type': 'application/xml' }]) {
      const answer = await ask(`${server.url}${path}`, { method: 'POST', body: 'hello', headers });
      expect(answer.status).toBe(415);
      expect(answer.body['detail']).toContain('multipart/form-data');
    }
    const noBoundary = await ask(`${server.url}${path}`, {
      method: 'POST',
      body: 'hello',
      headers: { 'content-type': 'multipart/form-data' },
    });
    expect(noBoundary.status).toBe(400);
  });

  it('sends files for tensors away', async () => {
    const answer = await ask(`${server.url}/v1/models/add_sub/predict`, {
      method: 'POST',
      body: formOf([pictures[0]]),
    });
    expect(answer.status).toBe(422);
    expect(answer.body['detail']).toContain('/v2/models/add_sub/infer');
  });

  it('takes parts in pieces of any size, and survives bodies that end early', async () => {
    const boundary = 'x-y-z';
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="image"; filename="a \\"b\\".jpg"\r\ncontent-type: image/jpeg\r\n\r\n`;
    const whole = Buffer.concat([
      Buffer.from(`preamble\r\n${head}`),
      pictures[0],
      Buffer.from(`\r\n--${boundary}--\r\nepilogue`),
    ]);
    const headers = { 'content-type': `multipart/form-data; boundary="${boundary}"` };
    const inPieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < whole.length; i += 7)
          controller.enqueue(Uint8Array.from(whole.subarray(i, i + 7)));
        controller.close();
      },
    });
    const answer = await ask(`${server.url}${path}`, {
      method: 'POST',
      body: inPieces,
      headers,
      duplex: 'half',
    });
    expect(answer.body['detail']).toBeUndefined();
    expect(answer.status).toBe(200);
    for (const length of [0, 5, 20, 100, 300, whole.length - 20]) {
      const cut = await ask(`${server.url}${path}`, {
        method: 'POST',
        body: Uint8Array.from(whole.subarray(0, length)),
        headers,
      });
      expect(cut.status, `cut at ${length}: ${JSON.stringify(cut.body)}`).toBe(400);
    }
  });
});
