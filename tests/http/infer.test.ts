import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  inferResponseSchema,
  modelMetadataSchema,
  serverMetadataSchema,
} from '#ballast/server/oip/schemas.js';
import { ask, post, startServer, type TestServer } from './support/server.js';

let server: TestServer;
const sixteen = Array.from({ length: 16 }, (_, i) => i + 1);
const rows = (count: number): number[][] =>
  Array.from({ length: count }, (_, row) => sixteen.map((value) => value + row));

beforeAll(async () => {
  server = await startServer(['pictures', 'halves', 'add_sub', 'add_sub_int', 'slow']);
});
afterAll(() => server.close());

const input = (name: string, data: unknown, more: object = {}): object => ({
  name,
  shape: [1, 16],
  datatype: 'FP32',
  data,
  ...more,
});
const both = (data: unknown = sixteen, more: object = {}): object => ({
  inputs: [input('INPUT0', data, more), input('INPUT1', data, more)],
});

interface Output {
  name: string;
  datatype: string;
  shape: number[];
  data?: unknown[];
  parameters?: { binary_data_size: number };
}

/** The outputs of an answer by name. */
function outputsOf(body: Record<string, unknown>): Record<string, Output> {
  return Object.fromEntries((body['outputs'] as Output[]).map((output) => [output.name, output]));
}

/** A request with binary tensors after its JSON. */
function binaryRequest(request: object, ...tensors: ArrayBufferView[]): RequestInit {
  const json = Buffer.from(JSON.stringify(request));
  const body = Buffer.concat([
    json,
    ...tensors.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  ]);
  return {
    method: 'POST',
    body: Uint8Array.from(body),
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(json.byteLength),
    },
  };
}

/** An answer with binary tensors, taken apart. */
async function binaryAnswer(
  url: string,
  init: RequestInit,
): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url, init);
  const body = new Uint8Array(await response.arrayBuffer());
  expect(response.status, Buffer.from(body).toString()).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/octet-stream');
  const jsonBytes = Number(response.headers.get('inference-header-content-length'));
  const answer = inferResponseSchema.parse(JSON.parse(Buffer.from(body.subarray(0, jsonBytes)).toString()));
  let offset = jsonBytes;
  const tensors = answer.outputs
    .filter(({ parameters }) => parameters !== undefined)
    .map(({ name, parameters }): [string, Uint8Array<ArrayBuffer>] => {
      const begin = offset;
      offset += parameters!.binary_data_size;
      return [name, body.slice(begin, offset)];
    });
  expect(offset).toBe(body.byteLength);
  return Object.fromEntries(tensors);
}

const url = (model: string, verb = '/infer'): string => `${server.url}/v2/models/${model}${verb}`;

describe('metadata and health', () => {
  it('tells of the server and of its models', async () => {
    const about = serverMetadataSchema.parse((await ask(`${server.url}/v2`)).body);
    expect(about.name).toBe('ballast');
    expect(about.extensions).toEqual(expect.arrayContaining(['binary_tensor_data', 'model_repository']));
    const model = modelMetadataSchema.parse((await ask(url('add_sub', ''))).body);
    expect(model).toMatchObject({
      name: 'add_sub',
      versions: ['1'],
      inputs: [
        { name: 'INPUT0', datatype: 'FP32', shape: [-1, 16] },
        { name: 'INPUT1', datatype: 'FP32', shape: [-1, 16] },
      ],
      outputs: [
        { name: 'OUTPUT0', datatype: 'FP32', shape: [-1, 16] },
        { name: 'OUTPUT1', datatype: 'FP32', shape: [-1, 16] },
      ],
    });
    expect((await ask(url('add_sub', '/versions/1'))).body).toEqual(model);
    const pictures = modelMetadataSchema.parse((await ask(url('pictures', ''))).body);
    expect(pictures.outputs.map(({ name }) => name)).toEqual([
      'scores',
      'probabilities',
      'base_probabilities',
    ]);
  });

  it('answers health and readiness', async () => {
    for (const path of [
      '/v2/health/live',
      '/v2/health/ready',
      '/v2/models/add_sub/ready',
      '/v2/models/add_sub/versions/1/ready',
    ]) {
      expect((await ask(`${server.url}${path}`)).status, path).toBe(200);
    }
    expect((await ask(url('add_sub', '/ready'))).body).toEqual({ name: 'add_sub', ready: true });
    expect((await ask(url('add_sub', '/versions/9/ready'))).status).toBe(404);
    expect((await ask(url('add_sub', '/versions/9'))).status).toBe(404);
    expect((await ask(url('nobody', '/ready'))).body).toHaveProperty('error');
  });
});

describe('infer with JSON tensors', () => {
  it('answers every output of several inputs, and echoes the id', async () => {
    const { status, body } = await post(url('add_sub'), { id: 'forty-two', ...both() });
    expect(status).toBe(200);
    expect(inferResponseSchema.parse(body)).toMatchObject({
      model_name: 'add_sub',
      model_version: '1',
      id: 'forty-two',
    });
    const { OUTPUT0, OUTPUT1 } = outputsOf(body);
    expect(OUTPUT0).toEqual({
      name: 'OUTPUT0',
      datatype: 'FP32',
      shape: [1, 16],
      data: sixteen.map((x) => 2 * x),
    });
    expect(OUTPUT1.data).toEqual(sixteen.map(() => 0));
  });

  it('reads nested data, a batch, a version and a request without a content type', async () => {
    const request = both(rows(3), { shape: [3, 16] });
    const nested = await post(url('add_sub', '/versions/1/infer'), request);
    const flat = await ask(url('add_sub'), {
      method: 'POST',
      body: new Blob([JSON.stringify(both(rows(3).flat(), { shape: [3, 16] }))]),
    });
    expect(outputsOf(nested.body)['OUTPUT0'].shape).toEqual([3, 16]);
    expect(flat.body).toEqual(nested.body);
  });

  it('answers only the outputs asked for, in their order', async () => {
    const { body } = await post(url('add_sub'), {
      ...both(),
      outputs: [{ name: 'OUTPUT1' }, { name: 'OUTPUT0' }],
    });
    expect((body['outputs'] as Output[]).map(({ name }) => name)).toEqual(['OUTPUT1', 'OUTPUT0']);
    const one = await post(url('add_sub'), { ...both(), outputs: [{ name: 'OUTPUT1' }] });
    expect(one.body['outputs']).toHaveLength(1);
  });

  it('ignores parameters and fields that it does not know', async () => {
    const { status } = await post(url('add_sub'), {
      ...both(),
      model_name: 'add_sub',
      parameters: { priority: 3, sequence_id: 'x' },
    });
    expect(status).toBe(200);
  });

  it('adapts a classifier, and answers what the model alone said beside it', async () => {
    const data = Array.from({ length: 4 * 3072 }, (_, i) => Math.sin(i * i));
    const request = { inputs: [{ name: 'image', shape: [4, 3, 32, 32], datatype: 'FP32', data }] };
    const on = await post(url('pictures'), { ...request, parameters: { lame: true } });
    expect(on.body['parameters']).toMatchObject({ lame_scope: 'request', lame_samples: 4 });
    const off = await post(url('pictures'), { ...request, parameters: { lame: 'off' } });
    expect(off.body['parameters']).toBeUndefined();
    const { scores, probabilities, base_probabilities } = outputsOf(off.body);
    expect(scores.shape).toEqual([4, 10]);
    expect(probabilities.data).toEqual(base_probabilities.data);
    expect(outputsOf(on.body)['base_probabilities'].data).toEqual(base_probabilities.data);
    const stream = { ...request, parameters: { stream: 'oip' } };
    await post(url('pictures'), stream);
    expect((await post(url('pictures'), stream)).body['parameters']).toMatchObject({ lame_samples: 8 });
  });

  it('classifies an output', async () => {
    const data = Array.from({ length: 2 * 3072 }, (_, i) => Math.cos(i));
    const { body } = await post(url('pictures'), {
      inputs: [{ name: 'image', shape: [2, 3, 32, 32], datatype: 'FP32', data }],
      outputs: [{ name: 'probabilities', parameters: { classification: 3 } }, { name: 'probabilities' }],
    });
    const [classes, numbers] = body['outputs'] as Output[];
    expect(classes).toMatchObject({ datatype: 'BYTES', shape: [2, 3] });
    expect(classes.data![0]).toMatch(/^0\.\d+:\d:[a-z]+$/);
    const best = Math.max(...(numbers.data as number[]).slice(0, 10));
    expect(Number((classes.data![0] as string).split(':')[0])).toBe(best);
  });

  it('reads half precision and answers it', async () => {
    const data = Array.from({ length: 3072 }, (_, i) => Math.fround(Math.sin(i)));
    const { status, body } = await post(url('halves'), {
      inputs: [{ name: 'image', shape: [1, 3, 32, 32], datatype: 'FP16', data }],
    });
    expect(status).toBe(200);
    expect(outputsOf(body)['scores']).toMatchObject({ datatype: 'FP16', shape: [1, 10] });
    expect(outputsOf(body)['scores'].data!.every((value) => Number.isFinite(value))).toBe(true);
  });

  it('reads gzip', async () => {
    const response = await fetch(url('add_sub'), {
      method: 'POST',
      body: Uint8Array.from(gzipSync(JSON.stringify(both()))),
      headers: { 'content-encoding': 'gzip' },
    });
    expect(response.status).toBe(200);
    const unknown = await fetch(url('add_sub'), {
      method: 'POST',
      body: JSON.stringify(both()),
      headers: { 'content-encoding': 'zstd-9' },
    });
    expect(unknown.status).toBe(415);
  });
});

describe('infer with shared memory', () => {
  it('is refused, for inputs and outputs, instead of answered beside the region', async () => {
    const parameters = { shared_memory_region: 'r', shared_memory_byte_size: 64 };
    for (const request of [
      { ...both(), outputs: [{ name: 'OUTPUT0', parameters }] },
      both(undefined, { parameters }),
    ]) {
      const answer = await post(url('add_sub'), request);
      expect(answer.status).toBe(400);
      expect(answer.body['error']).toMatch(/shared_memory_region, which this server does not have/);
    }
  });
});

describe('infer with binary tensors', () => {
  const request = (more: object = {}): object => ({
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      shape: [1, 16],
      datatype: 'FP32',
      parameters: { binary_data_size: 64 },
    })),
    ...more,
  });
  const tensor = Float32Array.from(sixteen);

  it('reads and writes them', async () => {
    const init = binaryRequest(request({ parameters: { binary_data_output: true } }), tensor, tensor);
    const { OUTPUT0, OUTPUT1 } = await binaryAnswer(url('add_sub'), init);
    expect([...new Float32Array(OUTPUT0.buffer)]).toEqual(sixteen.map((x) => 2 * x));
    expect([...new Float32Array(OUTPUT1.buffer)]).toEqual(sixteen.map(() => 0));
  });

  it('mixes them with JSON, in requests and answers, whatever the length of the JSON', async () => {
    for (const id of ['', 'a', 'ab', 'abc']) {
      const mixed = {
        id,
        inputs: [
          input('INPUT0', sixteen),
          { ...input('INPUT1', undefined), parameters: { binary_data_size: 64 } },
        ],
        outputs: [{ name: 'OUTPUT0', parameters: { binary_data: true } }, { name: 'OUTPUT1' }],
      };
      const { OUTPUT0, OUTPUT1 } = await binaryAnswer(url('add_sub'), binaryRequest(mixed, tensor));
      expect([...new Float32Array(OUTPUT0.buffer)]).toEqual(sixteen.map((x) => 2 * x));
      expect(OUTPUT1).toBeUndefined();
    }
  });

  it('lets an output override binary_data_output', async () => {
    const init = binaryRequest(
      request({
        parameters: { binary_data_output: true },
        outputs: [{ name: 'OUTPUT0', parameters: { binary_data: false } }],
      }),
      tensor,
      tensor,
    );
    const answer = await ask(url('add_sub'), init);
    expect(answer.type).toBe('application/json');
    expect(outputsOf(answer.body)['OUTPUT0'].data).toEqual(sixteen.map((x) => 2 * x));
  });

  it('writes classes as bytes with a length before each', async () => {
    const data = Float32Array.from({ length: 3072 }, (_, i) => Math.cos(i));
    const { probabilities } = await binaryAnswer(
      url('pictures'),
      binaryRequest(
        {
          inputs: [
            {
              name: 'image',
              shape: [1, 3, 32, 32],
              datatype: 'FP32',
              parameters: { binary_data_size: 12288 },
            },
          ],
          outputs: [{ name: 'probabilities', parameters: { classification: 1, binary_data: true } }],
        },
        data,
      ),
    );
    const length = new DataView(probabilities.buffer).getUint32(0, true);
    expect(length).toBe(probabilities.byteLength - 4);
    expect(Buffer.from(probabilities.subarray(4)).toString()).toMatch(/^0\.\d+:\d:[a-z]+$/);
  });

  it.each([
    ['too few bytes', { binary_data_size: 60 }, 60],
    ['a size beyond the body', { binary_data_size: 6400 }, 64],
    ['a negative size', { binary_data_size: -4 }, 64],
    ['a size that is no number', { binary_data_size: 'big' }, 64],
    ['bytes left over', { binary_data_size: 64 }, 80],
  ])('refuses %s', async (_what, parameters, bytes) => {
    const wrong = {
      inputs: [{ ...input('INPUT1', sixteen) }, { ...input('INPUT0', undefined), parameters }],
    };
    const answer = await ask(url('add_sub'), binaryRequest(wrong, new Uint8Array(bytes)));
    expect(answer.status).toBe(400);
    expect(answer.body['error']).toMatch(/bytes/);
  });

  it('reads the bytes of one tensor alone', async () => {
    const headers = { 'inference-header-content-length': '0' };
    const raw = (model: string, bytes: number): ReturnType<typeof ask> =>
      ask(url(model), { method: 'POST', body: new Uint8Array(bytes), headers });
    expect(outputsOf((await raw('pictures', 2 * 12288)).body)['probabilities'].shape).toEqual([2, 10]);
    for (const [model, bytes] of [
      ['pictures', 12287],
      ['add_sub', 64],
    ] as const) {
      const { status, body } = await raw(model, bytes);
      expect(status).toBe(400);
      expect(body['error']).toMatch(/takes/);
    }
  });

  it('refuses a header length that is wrong', async () => {
    for (const length of ['99999', '-1', 'abc', '10']) {
      const init = binaryRequest(request(), tensor, tensor);
      const headers = { ...(init.headers as object), 'inference-header-content-length': length };
      const answer = await ask(url('add_sub'), { ...init, headers });
      expect(answer.status, length).toBe(400);
      expect(answer.body).toHaveProperty('error');
    }
  });
});

describe('64-bit integers', () => {
  const slow = (trips: string): string =>
    `{"inputs":[{"name":"INPUT","shape":[1,16],"datatype":"FP32","data":[${sixteen.join(',')}]},{"name":"TRIPS","shape":[1,1],"datatype":"INT64","data":[${trips}]}]}`;

  it('are read where they fit and refused where they do not', async () => {
    expect((await post(url('slow'), slow('1'))).status).toBe(200);
    expect((await post(url('slow'), slow('-9223372036854775808'))).status).toBe(200);
    for (const trips of ['1.5', '9223372036854775808', '1e30', '"x"', 'null', 'true']) {
      const { status, body } = await post(url('slow'), slow(trips));
      expect(status, trips).toBe(400);
      expect(body['error']).toContain('INT64');
    }
  });
});

describe('what is wrong is named', () => {
  it.each<[string, object | string, RegExp]>([
    ['no JSON', '{"inputs"', /JSON/],
    ['no inputs', {}, /inputs/],
    ['an empty list of inputs', { inputs: [] }, /inputs/],
    ['a missing input', { inputs: [input('INPUT0', sixteen)] }, /"INPUT1" is missing/],
    ['an unknown input', { inputs: [input('INPUT9', sixteen)] }, /"INPUT9".*"INPUT0", "INPUT1"/],
    ['an input given twice', { inputs: [input('INPUT0', sixteen), input('INPUT0', sixteen)] }, /twice/],
    ['another type', both(sixteen, { datatype: 'INT32' }), /"INPUT0" came as INT32.*FP32/],
    ['an unknown type', both(sixteen, { datatype: 'BF16' }), /"BF16".*FP32/],
    ['another shape', both(sixteen, { shape: [16] }), /\[16\].*\[-1, 16\]/],
    ['another width', both(sixteen, { shape: [2, 8] }), /\[2, 8\].*\[-1, 16\]/],
    ['no samples', both([], { shape: [0, 16] }), /empty/],
    ['a shape of text', both(sixteen, { shape: ['1', 16] }), /shape/],
    ['too few elements', both([1, 2, 3]), /3 elements.*16/],
    ['a ragged nesting', both([[1, 2, 3], [4]]), /nesting/],
    ['text among numbers', both([...sixteen.slice(1), 'x']), /element 15.*FP32/],
    ['null', both([...sixteen.slice(1), null]), /element 15/],
    ['a number beyond the type', both([1e39, ...sixteen.slice(1)]), /element 0.*FP32/],
    ['neither data nor bytes', { inputs: [{ name: 'INPUT0', shape: [1, 16], datatype: 'FP32' }] }, /neither/],
    ['an unknown output', { ...both(), outputs: [{ name: 'OUTPUT9' }] }, /"OUTPUT9".*"OUTPUT0"/],
    ['a wrong option', { ...both(), parameters: { lame: 'perhaps' } }, /lame/],
    ['a wrong stream', { ...both(), parameters: { stream: '../x' } }, /stream/],
    ['a wrong id', { ...both(), id: 7 }, /id/],
    [
      'different batches',
      { inputs: [input('INPUT0', rows(2), { shape: [2, 16] }), input('INPUT1', sixteen)] },
      /"INPUT0": 2, "INPUT1": 1/,
    ],
  ])('%s', async (_what, request, error) => {
    const answer = await post(url('add_sub'), request);
    expect(answer.status).toBe(400);
    expect(answer.type).toBe('application/json');
    expect(answer.body['error']).toMatch(error);
  });

  it('integers that do not fit', async () => {
    for (const [value, datatype] of [
      [2147483648, 'INT32'],
      [1.5, 'INT32'],
    ] as const) {
      const answer = await post(url('add_sub_int'), both([value, ...sixteen.slice(1)], { datatype }));
      expect(answer.status).toBe(400);
      expect(answer.body['error']).toMatch(/element 0.*INT32/);
    }
  });
});
