import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { toFloat16, toFloat32 } from '#ballast/runtime/float16.js';
import { RemoteClassifier, type RemoteSpec } from '#ballast/runtime/remote-classifier.js';
import type { Tensor, TensorMap } from '#ballast/runtime/tensor.js';
import { startServer, type TestServer } from '../http/support/server.js';

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

interface SentTensor {
  name: string;
  shape: number[];
  data?: number[];
  parameters?: { binary_data_size?: number };
}

/** What a stub serves: the sum of its inputs `[N, 2]`, and how it says that. */
interface Stub {
  readonly datatype?: 'FP32' | 'FP16';
  readonly binary?: boolean;
  /** In place of the answer to an inference request. */
  readonly infer?: Handler;
  /** In place of the model's metadata. */
  readonly metadata?: Handler;
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

const json = (response: ServerResponse, value: unknown, status = 200, headers = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof value === 'string' ? value : JSON.stringify(value));
};

/** The honest answer: adds the inputs up, and answers in the way it was asked. */
function answer(stub: Stub, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const { datatype = 'FP32' } = stub;
  const header = request.headers['inference-header-content-length'];
  let offset = header === undefined ? body.byteLength : Number(header);
  const { inputs } = JSON.parse(body.subarray(0, offset).toString()) as { inputs: SentTensor[] };
  const values = inputs.map(({ data, parameters }) => {
    if (data) return data;
    const bytes = Uint8Array.from(body.subarray(offset, (offset += parameters!.binary_data_size!))).buffer;
    return Array.from(datatype === 'FP16' ? toFloat32(new Uint16Array(bytes)) : new Float32Array(bytes));
  });
  const sum = Float32Array.from(values[0], (_, i) => values.reduce((total, data) => total + data[i], 0));
  const output = { name: 'sum', datatype, shape: inputs[0].shape };
  if (header === undefined) {
    json(response, { outputs: [{ ...output, data: Array.from(sum) }] });
    return;
  }
  const bytes = datatype === 'FP16' ? toFloat16(sum) : sum;
  const outputs = [{ ...output, parameters: { binary_data_size: bytes.byteLength } }];
  const head = Buffer.from(JSON.stringify({ outputs }));
  response.writeHead(200, { 'inference-header-content-length': head.byteLength });
  response.end(Buffer.concat([head, Buffer.from(bytes.buffer)]));
}

/** Starts a stub; returns the address of its model and the requests for inference that came. */
async function serve(stub: Stub = {}): Promise<{ url: string; host: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const tensor = (name: string) => ({ name, datatype: stub.datatype ?? 'FP32', shape: [-1, 2] });
  const metadata = { name: 'm', inputs: [tensor('a'), tensor('b')], outputs: [tensor('sum')] };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      if (request.url === '/v2/models/m/infer') {
        requests.push(request);
        if (stub.infer) stub.infer(request, response, body);
        else answer(stub, request, response, body);
      } else if (request.url === '/v2/models/m') {
        if (stub.metadata) stub.metadata(request, response, body);
        else json(response, metadata);
      } else if (request.url === '/v2' && stub.binary === true) {
        json(response, { name: 's', version: '1', extensions: ['binary_tensor_data'] });
      } else json(response, { error: 'not found' }, 404);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  );
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url: `http://${host}/v2/models/m`, host, requests };
}

const specOf = (url: string, more: Partial<RemoteSpec> = {}): RemoteSpec => ({
  url,
  headers: { authorization: 'Bearer very-secret' },
  timeoutSeconds: 5,
  retries: 2,
  maxInFlight: 4,
  allowedHosts: ['127.0.0.1'],
  ...more,
});

const floats = (values: number[], columns = 2): Tensor => ({
  type: 'float32',
  dims: [values.length / columns, columns],
  data: Float32Array.from(values),
});
const pair: TensorMap = { a: floats([1, 2, 3, 4]), b: floats([10, 20, 30, 40.5]) };

async function connected(stub: Stub, more: Partial<RemoteSpec> = {}) {
  const served = await serve(stub);
  const queries: number[] = [];
  const remote = await RemoteClassifier.connect(specOf(served.url, more), (samples) => queries.push(samples));
  return { ...served, remote, queries, sum: () => remote.run(pair, ['sum']) };
}

/** Answers with these statuses first, and honestly after them. */
function failing(statuses: number[], headers = {}): Stub {
  const left = [...statuses];
  return {
    infer: (request, response, body) => {
      const status = left.shift();
      if (status === undefined) answer({}, request, response, body);
      else json(response, { error: `status ${status}` }, status, headers);
    },
  };
}

describe('RemoteClassifier', () => {
  it.each([
    { datatype: 'FP32', binary: false },
    { datatype: 'FP32', binary: true },
    { datatype: 'FP16', binary: false },
    { datatype: 'FP16', binary: true },
  ] as const)('adds two inputs, %o', async (stub) => {
    const { remote, sum, requests, queries } = await connected(stub);
    const { outputs, seconds } = await sum();
    expect(outputs['sum']).toEqual(floats([11, 22, 33, 44.5]));
    expect(seconds).toBeGreaterThan(0);
    expect(queries).toEqual([2]);
    expect(remote.count).toBe(4);
    expect(remote.inputs[0]).toEqual({
      name: 'a',
      type: stub.datatype === 'FP16' ? 'float16' : 'float32',
      dims: [-1, 2],
    });
    expect(requests[0].headers['inference-header-content-length'] !== undefined).toBe(stub.binary);
    expect(requests[0].headers.authorization).toBe('Bearer very-secret');
  });

  it('takes NaN and null in JSON as NaN', async () => {
    const text =
      '{"outputs":[{"name":"sum","datatype":"FP32","shape":[2,2],"data":[[NaN,null],[-Infinity,1]]}]}';
    const { sum } = await connected({
      infer: (_, response) => {
        json(response, text);
      },
    });
    expect((await sum()).outputs['sum']).toEqual(floats([NaN, NaN, -Infinity, 1]));
  });

  it('tries again after 429 and 503, and counts every try', async () => {
    const { sum, queries } = await connected(failing([429, 503]));
    expect((await sum()).outputs['sum']).toEqual(floats([11, 22, 33, 44.5]));
    expect(queries).toEqual([2, 2, 2]);
  });

  it('waits as long as Retry-After says', async () => {
    const { sum } = await connected(failing([429], { 'retry-after': '1' }));
    expect((await sum()).seconds).toBeGreaterThan(0.99);
  });

  it('gives up after its retries, with what Retry-After said last', async () => {
    const { sum, host, queries } = await connected(failing([429], { 'retry-after': '7' }), { retries: 0 });
    await expect(sum()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(host) as string,
      options: { retryAfterSeconds: 7 },
    });
    expect(queries).toEqual([2]);
  });

  it.each([
    [400, 'invalid-input', /status 400/],
    [401, 'unavailable', /classifier\.headers/],
    [403, 'unavailable', /classifier\.headers/],
    [404, 'unavailable', /no model/],
    [501, 'unavailable', /501/],
  ])('does not try again after %i', async (status, code, message) => {
    const { sum, requests } = await connected(failing([status]));
    await expect(sum()).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(requests).toHaveLength(1);
  });

  it('shows at most 300 characters of what the remote says, and no credentials that it repeats', async () => {
    const error = `you sent Bearer very-secret ${'x'.repeat(1000)}`;
    const { sum } = await connected({
      infer: (_, response) => {
        json(response, { error }, 400);
      },
    });
    const { message } = (await sum().catch((reason: unknown) => reason as Error)) as Error;
    expect(message).toContain('you sent');
    expect(message).not.toContain('very-secret');
    expect(message.length).toBeLessThan(420);
  });

  it('gives each try its own timeout', async () => {
    const { sum, queries } = await connected({ infer: () => undefined }, { timeoutSeconds: 0.1, retries: 1 });
    await expect(sum()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('within 0.1 s') as string,
    });
    expect(queries).toEqual([2, 2]);
  });

  it('tries again where the connection is cut, also within the answer', async () => {
    let tries = 0;
    const infer: Handler = (request, response, body) => {
      tries++;
      if (tries === 1) request.socket.destroy();
      else if (tries === 2) {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{', () => request.socket.destroy());
      } else answer({}, request, response, body);
    };
    const { sum } = await connected({ infer });
    expect((await sum()).outputs['sum'].dims).toEqual([2, 2]);
    expect(tries).toBe(3);
  });

  it('says that a remote cannot be reached', async () => {
    const { url, host } = await serve();
    await closers.pop()!();
    await expect(RemoteClassifier.connect(specOf(url, { retries: 1 }))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`${host} cannot be reached`) as string,
    });
  });

  it('runs at most maxInFlight calls at once', async () => {
    let now = 0;
    let most = 0;
    const infer: Handler = (request, response, body) => {
      most = Math.max(most, ++now);
      setTimeout(() => {
        now--;
        answer({}, request, response, body);
      }, 10);
    };
    const { sum } = await connected({ infer }, { maxInFlight: 3 });
    await Promise.all(Array.from({ length: 12 }, sum));
    expect(most).toBe(3);
  });

  it('aborts at once: under way, waiting for a lane, and waiting for the next try', async () => {
    const { remote } = await connected({ infer: () => undefined }, { maxInFlight: 1 });
    const first = new AbortController();
    const second = new AbortController();
    const running = remote.run(pair, ['sum'], first.signal);
    const waiting = remote.run(pair, ['sum'], second.signal);
    second.abort(new Error('second left'));
    await expect(waiting).rejects.toThrow('second left');
    first.abort(new Error('first left'));
    await expect(running).rejects.toThrow('first left');
    const busy = await connected(failing([503], { 'retry-after': '30' }));
    const third = new AbortController();
    const retrying = busy.remote.run(pair, ['sum'], third.signal);
    await expect.poll(() => busy.requests.length).toBe(1);
    third.abort(new Error('third left'));
    await expect(retrying).rejects.toThrow('third left');
    expect(busy.requests).toHaveLength(1);
  });

  it('aborts what is under way when it is closed, and takes no more', async () => {
    const { remote, sum } = await connected({ infer: () => undefined });
    const running = sum();
    await remote.close();
    await expect(running).rejects.toMatchObject({ code: 'unavailable' });
    await expect(sum()).rejects.toMatchObject({ code: 'unavailable' });
  });

  const output = { name: 'sum', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] };
  it.each([
    ['no JSON', '<html>', /no JSON/],
    ['no outputs', { error: 'oh' }, /outputs/],
    ['another output', { outputs: [{ ...output, name: 'other' }] }, /"sum" is missing/],
    ['another datatype', { outputs: [{ ...output, datatype: 'INT32' }] }, /INT32/],
    ['too few rows', { outputs: [{ ...output, shape: [1, 2], data: [1, 2] }] }, /for 2 samples/],
    ['other columns', { outputs: [{ ...output, shape: [2, 1], data: [1, 2] }] }, /metadata say \[-1, 2\]/],
    ['too few elements', { outputs: [{ ...output, data: [1, 2, 3] }] }, /3 elements/],
    ['a string', { outputs: [{ ...output, data: [1, 2, 3, 'x'] }] }, /element 3/],
    ['no data', { outputs: [{ ...output, data: undefined }] }, /neither data/],
    [
      'bytes that are not there',
      { outputs: [{ ...output, parameters: { binary_data_size: 16 } }] },
      /fewer bytes/,
    ],
  ])('refuses an answer with %s', async (_, body, message) => {
    const { sum, host, requests } = await connected({
      infer: (__, response) => {
        json(response, body);
      },
    });
    const error: unknown = await sum().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringMatching(message) as string });
    expect((error as Error).message).toContain(host);
    expect(requests).toHaveLength(1);
  });

  it('refuses an answer above 256 MB', async () => {
    const { sum, requests } = await connected({
      infer: (_, response) => {
        response.writeHead(200, { 'content-length': String(300 * 1024 * 1024) }).write('{');
      },
    });
    await expect(sum()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('256 MB') as string,
    });
    expect(requests).toHaveLength(1);
  });

  it('keeps every digit of 64-bit integers in JSON', async () => {
    const tensor = { name: 'x', datatype: 'INT64', shape: [-1] };
    const { remote } = await connected({
      metadata: (_, response) => {
        json(response, { inputs: [tensor], outputs: [tensor] });
      },
      infer: (_, response, body) => {
        const [data] = /\[-?\d+,\d+\]/.exec(body.toString())!;
        json(response, `{"outputs":[{"name":"x","datatype":"INT64","shape":[2],"data":${data}}]}`);
      },
    });
    const x: Tensor = { type: 'int64', dims: [2], data: BigInt64Array.of(-9007199254740993n, 7n) };
    expect((await remote.run({ x }, ['x'])).outputs['x']).toEqual(x);
  });

  it('sends nothing that the model or JSON cannot take, and nothing beyond a budget', async () => {
    const { remote, requests, url } = await connected({});
    const bad: TensorMap[] = [
      { a: pair['a'] },
      { ...pair, b: floats([1, 2, 3, NaN]) },
      { ...pair, b: { type: 'int32', dims: [2, 2], data: Int32Array.of(1, 2, 3, 4) } },
    ];
    for (const inputs of bad) {
      await expect(remote.run(inputs, ['sum'])).rejects.toMatchObject({ code: 'invalid-input' });
    }
    const spent = await RemoteClassifier.connect(specOf(url), () => {
      throw new Error('the budget is spent');
    });
    await expect(spent.run(pair, ['sum'])).rejects.toThrow('the budget is spent');
    expect(requests).toHaveLength(0);
  });

  it('calls no host that is not allowed', async () => {
    const { url, host } = await serve();
    const connect = (allowedHosts: string[]) => RemoteClassifier.connect(specOf(url, { allowedHosts }));
    await expect(connect([])).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining('--remote-hosts') as string,
    });
    await expect(connect(['127.0.0.1:1'])).rejects.toMatchObject({ code: 'invalid-model' });
    await connect([host]);
    for (const other of ['ftp://127.0.0.1/v2/models/m', 'nonsense', `http://user:pass@${host}/v2/models/m`]) {
      await expect(RemoteClassifier.connect(specOf(other))).rejects.toMatchObject({ code: 'invalid-model' });
    }
  });

  it('follows no redirect', async () => {
    const target = await serve();
    const redirect: Handler = (_, response) => {
      response.writeHead(307, { location: `${target.url}/infer` }).end();
    };
    const { sum, requests } = await connected({ infer: redirect });
    await expect(sum()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('redirects') as string,
    });
    expect(requests).toHaveLength(1);
    expect(target.requests).toHaveLength(0);
    const moved = await serve({ metadata: redirect });
    await expect(RemoteClassifier.connect(specOf(moved.url))).rejects.toMatchObject({
      code: 'invalid-model',
    });
  });

  it('refuses models that are not there, and tensors of strings', async () => {
    const gone = await serve({
      metadata: (_, response) => {
        json(response, { error: 'unknown' }, 404);
      },
    });
    await expect(RemoteClassifier.connect(specOf(gone.url))).rejects.toMatchObject({ code: 'invalid-model' });
    const tensors = [{ name: 't', datatype: 'BYTES', shape: [-1] }];
    const bytes = await serve({
      metadata: (_, response) => {
        json(response, { inputs: tensors, outputs: tensors });
      },
    });
    await expect(RemoteClassifier.connect(specOf(bytes.url))).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining('BYTES') as string,
    });
  });

  it('does not tell the value of a header that HTTP cannot carry', async () => {
    const { url } = await serve();
    const headers = { authorization: 'very\nsecret' };
    const error: unknown = await RemoteClassifier.connect(specOf(url, { headers })).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'invalid-model' });
    expect((error as Error).message).not.toContain('secret');
  });
});

describe('RemoteClassifier of a Ballast server', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer(['add_sub', 'add_sub_int']);
  });
  afterAll(() => server.close());

  const sixteen = Array.from({ length: 16 }, (_, i) => i + 0.5);

  it('adds and subtracts, as bytes', async () => {
    const remote = await RemoteClassifier.connect(
      specOf(`${server.url}/v2/models/add_sub`, { allowedHosts: [new URL(server.url).host] }),
    );
    const inputs = { INPUT0: floats(sixteen, 16), INPUT1: floats(sixteen, 16) };
    const names = remote.outputs.map(({ name }) => name);
    const { outputs } = await remote.run(inputs, names);
    const doubled = floats(
      sixteen.map((value) => 2 * value),
      16,
    );
    expect(names.map((name) => outputs[name])).toEqual([
      doubled,
      floats(
        sixteen.map(() => 0),
        16,
      ),
    ]);
  });

  it('answers JSON to a client that finds no extension', async () => {
    // A gateway in front of it, which lets only the model's own paths through.
    const gateway = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.url === '/v2') {
          json(response, '', 404);
          return;
        }
        const init = { method: request.method!, headers: { 'content-type': 'application/json' } };
        const body = request.method === 'POST' ? { body: Buffer.concat(chunks) } : {};
        void fetch(`${server.url}${request.url}`, { ...init, ...body })
          .then(async (answered) => ({ text: await answered.text(), status: answered.status }))
          .then(({ text, status }) => {
            json(response, text, status);
          });
      });
    });
    await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
    const { port } = gateway.address() as AddressInfo;
    const remote = await RemoteClassifier.connect(specOf(`http://127.0.0.1:${port}/v2/models/add_sub_int`));
    const ints: Tensor = { type: 'int32', dims: [1, 16], data: Int32Array.from(sixteen) };
    const names = remote.outputs.map(({ name }) => name);
    const { outputs } = await remote.run({ INPUT0: ints, INPUT1: ints }, names);
    expect(outputs[names[0]].data).toEqual(Int32Array.from(sixteen, (value) => 2 * Math.floor(value)));
    gateway.closeAllConnections();
    gateway.close();
  });
});
