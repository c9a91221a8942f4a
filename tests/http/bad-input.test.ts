import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pngBomb } from '../fixtures/png-bomb.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post, startServer, type Answer, type TestServer } from './support/server.js';

let server: TestServer;
let picture: Buffer;
const path = '/v1/models/pictures/predict';

beforeAll(async () => {
  server = await startServer(['pictures', 'add_sub']);
  picture = await jpeg(1);
});
afterAll(() => server.close());

// Whatever came, the next request is answered as ever.
afterEach(async () => {
  expect((await predict([picture])).status).toBe(200);
  expect((await ask(`${server.url}/v2/health/live`)).status).toBe(200);
});

function predict(files: readonly Uint8Array[]): Promise<Answer> {
  return ask(`${server.url}${path}`, { method: 'POST', body: formOf(files) });
}

function expectProblem(answer: Answer, status: number, detail: RegExp): void {
  expect(answer.body['detail']).toMatch(detail);
  expect(answer.status).toBe(status);
  expect(answer.type).toBe('application/problem+json');
  expect(answer.body).toMatchObject({
    type: 'about:blank',
    status,
    request_id: answer.headers.get('x-request-id'),
  });
  // Nothing of the machine or the stack is told.
  expect(JSON.stringify(answer.body)).not.toMatch(/node_modules|\.[jt]s:|\/tmp\//);
}

/** Sends bytes as they are, and reads until the server closes. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.on('end', () => {
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

/** Sends `megabytes` of JSON, and stops when an answer comes. */
function flood(
  megabytes: number,
  headers: Record<string, string>,
): Promise<{ status: number; sent: number }> {
  const chunk = Buffer.alloc(1_000_000, '[');
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = false;
    const req = request(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
    });
    req.on('response', (response) => {
      answered = true;
      response.resume();
      resolve({ status: response.statusCode!, sent });
      req.destroy();
    });
    req.on('error', (error) => {
      if (!answered) reject(error);
    });
    const write = (): void => {
      while (!answered && sent < megabytes) {
        sent++;
        if (!req.write(chunk)) {
          req.once('drain', write);
          return;
        }
      }
      if (!answered) req.end();
    };
    write();
  });
}

describe('files that are no pictures', () => {
  it('a text file', async () => {
    expectProblem(await predict([picture, Buffer.from('I am no picture.\n')]), 415, /image\[1\]/);
  });

  it('a truncated JPEG', async () => {
    const whole = await jpeg(2, 64);
    expectProblem(await predict([whole.subarray(0, whole.length / 2)]), 400, /image\[0\]/);
  });

  it('an empty file', async () => {
    const answer = await predict([Buffer.alloc(0)]);
    expect([400, 415]).toContain(answer.status);
    expect(answer.body['detail']).toMatch(/image\[0\]/);
  });

  it('a picture of 30,000 × 30,000', async () => {
    expectProblem(await predict([pngBomb(30_000)]), 413, /pixels/);
  });
});

describe('how many', () => {
  it('no files', async () => {
    expectProblem(await predict([]), 400, /"image"/);
    const empty = await ask(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    });
    expect(empty.status).toBe(400);
  });

  it('10,000 files', async () => {
    const files = Array.from({ length: 10_000 }, () => picture.subarray(0, 20));
    expectProblem(await predict(files), 413, /256 files/);
    const list = files.map((file) => file.toString('base64'));
    expectProblem(await post(`${server.url}${path}`, { image: list }), 413, /256 files/);
  });

  it('JSON of 1 GB, declared: not read', async () => {
    const before = process.memoryUsage().rss;
    const { status, sent } = await flood(1000, { 'content-length': '1000000000' });
    expect(status).toBe(413);
    expect(sent).toBeLessThan(100);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });

  it('JSON of 1 GB, in chunks: cut at the limit', async () => {
    const { status, sent } = await flood(1000, { 'transfer-encoding': 'chunked' });
    expect(status).toBe(413);
    expect(sent).toBeLessThan(300);
  });

  it('JSON of 1 GB, from a client that asks first: never sent', async () => {
    const answer = await raw(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe('JSON that would fill the memory', () => {
  it.each(['[]', '{}'])('millions of %s', async (container) => {
    const body = `[${`${container},`.repeat(2_000_000)}0]`;
    expectProblem(await post(`${server.url}${path}`, body), 413, /2000001 arrays and objects/);
    expect((await post(`${server.url}/v2/models/add_sub/infer`, body)).status).toBe(413);
  });
});

describe('models that are none', () => {
  it('an unknown name', async () => {
    const answer = await ask(`${server.url}/v1/models/nobody/predict`, {
      method: 'POST',
      body: formOf([picture]),
    });
    expectProblem(answer, 404, /"nobody"/);
    const oip = await post(`${server.url}/v2/models/nobody/infer`, { inputs: [] });
    expect(oip.status).toBe(404);
    expect(oip.body).toEqual({ error: expect.stringContaining('"nobody"') as string });
  });

  it.each([
    '/v1/models/..%2F..%2Fetc%2Fpasswd/predict',
    '/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/predict',
    '/v1/models/..%252F..%252Fetc%252Fpasswd/predict',
    '/v1/models/%00/predict',
    '/v2/models/..%2F..%2Fetc%2Fpasswd/infer',
    '/v2/repository/models/..%2F..%2Fetc%2Fpasswd/load',
    '/v2/repository/models/..%2F..%2Fetc%2Fpasswd/unload',
  ])('a path in its place: %s', async (target) => {
    const answer = await post(`${server.url}${target}`, {});
    expect(answer.status).toBe(404);
    expect(JSON.stringify(answer.body)).toMatch(/There is no model/);
  });

  it.each([
    '/v1/models/../../etc/passwd/predict',
    '/v2/models/../../etc/passwd/infer',
    '/../../etc/passwd',
    '/docs/../../package.json',
  ])('a path that climbs: %s', async (target) => {
    const answer = await raw(
      `POST ${target} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(answer).not.toContain('root:');
    const get = await raw(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(get).toMatch(/^HTTP\/1\.1 404 /);
    expect(get).not.toContain('"dependencies"');
  });

  it('a malformed path', async () => {
    for (const target of ['/v1/models/%ZZ/predict', '/v1/models/%E0%A4/predict']) {
      expectProblem(await post(`${server.url}${target}`, {}), 400, /./);
    }
  });
});

describe('tensors', () => {
  const url = (): string => `${server.url}/v2/models/add_sub/infer`;
  const tensor = (name: string, values: Float32Array): { json: object; bytes: Buffer } => ({
    json: { name, shape: [1, 16], datatype: 'FP32', parameters: { binary_data_size: values.byteLength } },
    bytes: Buffer.from(values.buffer),
  });
  const send = (values: Float32Array): Promise<Answer> => {
    const tensors = [tensor('INPUT0', new Float32Array(16)), tensor('INPUT1', values)];
    const json = Buffer.from(JSON.stringify({ inputs: tensors.map((each) => each.json) }));
    return ask(url(), {
      method: 'POST',
      body: Uint8Array.from(Buffer.concat([json, ...tensors.map(({ bytes }) => bytes)])),
      headers: { 'inference-header-content-length': String(json.byteLength) },
    });
  };

  it.each([NaN, Infinity, -Infinity])('%d among the elements', async (value) => {
    const answer = await send(new Float32Array(16).fill(1).fill(value, 11, 12));
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toMatch(/"INPUT1", element 11/);
  });

  it('NaN in JSON is no JSON', async () => {
    const answer = await post(
      url(),
      '{"inputs":[{"name":"INPUT0","shape":[1,1],"datatype":"FP32","data":[NaN]}]}',
    );
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toMatch(/JSON/);
  });

  it('deep nesting, and a shape without data', async () => {
    for (const data of [`${'['.repeat(50_000)}1${']'.repeat(50_000)}`, '[]']) {
      const answer = await post(
        url(),
        `{"inputs":[{"name":"INPUT0","shape":[99999999,16],"datatype":"FP32","data":${data}}]}`,
      );
      expect(answer.status).toBe(400);
    }
  });
});

describe('HTTP', () => {
  it('unknown paths, in the format of their API', async () => {
    expectProblem(await ask(`${server.url}/v1/nothing`), 404, /\/v1\/nothing/);
    expect((await ask(`${server.url}/v2/nothing`)).body).toHaveProperty('error');
  });

  it('wrong methods', async () => {
    const answer = await ask(`${server.url}${path}`);
    expectProblem(answer, 405, /POST/);
    expect(answer.headers.get('allow')).toBe('POST');
    const streams = await ask(`${server.url}/v1/streams/x`, { method: 'PUT' });
    expect(streams.headers.get('allow')).toBe('GET, HEAD, DELETE');
  });

  it('echoes a request id that is fit for it', async () => {
    const ids = { 'abc-123': 'abc-123', 'has space': undefined, ['x'.repeat(200)]: undefined };
    for (const [given, kept] of Object.entries(ids)) {
      const { headers } = await ask(`${server.url}/v2/health/live`, { headers: { 'x-request-id': given } });
      expect(headers.get('x-request-id')).toEqual(
        kept ?? (expect.stringMatching(/^[\da-f-]{36}$/) as string),
      );
    }
  });

  it('a client that leaves halfway', async () => {
    for (const type of ['application/json', 'multipart/form-data; boundary=x', 'image/jpeg']) {
      await new Promise<void>((resolve) => {
        const socket = connect(server.port, '127.0.0.1', () => {
          socket.write(
            `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 50000\r\n\r\n--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\nabc`,
          );
          setTimeout(() => {
            socket.destroy();
            resolve();
          }, 50);
        });
      });
    }
  });
});
