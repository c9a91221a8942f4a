import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, startServer, type TestServer } from './support/server.js';

let server: TestServer;
const ROWS = 120_000;

beforeAll(async () => {
  server = await startServer(['add_sub']);
});
afterAll(() => server.close());

/** The longest time, in milliseconds, that the event loop was held while something happened. */
async function heldDuring(work: () => Promise<void>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await work();
  histogram.disable();
  return histogram.max / 1e6;
}

/** The answer, not parsed: that would be the client's work in this same process. */
async function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Buffer[]> {
  const response = await fetch(`${server.url}/v2/models/add_sub/infer`, { method: 'POST', body, headers });
  expect(response.status).toBe(200);
  const chunks: Buffer[] = [];
  for await (const chunk of response.body!) chunks.push(Buffer.from(chunk as Uint8Array));
  return chunks;
}

describe('the event loop', () => {
  it('is not held by large JSON, in or out', async () => {
    const data = `[${Array.from({ length: ROWS * 16 }, (_, i) => (i % 1000) / 8).join(',')}]`;
    const input = (name: string): string =>
      `{"name":"${name}","shape":[${ROWS},16],"datatype":"FP32","data":${data}}`;
    const body = `{"inputs":[${input('INPUT0')},${input('INPUT1')}]}`;
    expect(body.length).toBeGreaterThan(15e6);
    const begin = performance.now();
    JSON.parse(body);
    const parse = performance.now() - begin;
    const bytes = new TextEncoder().encode(body);
    let answer: Buffer[] = [];
    const held = await heldDuring(async () => {
      answer = await post(bytes);
    });
    const { outputs } = JSON.parse(Buffer.concat(answer).toString()) as { outputs: { data: number[] }[] };
    expect(outputs[0].data).toHaveLength(ROWS * 16);
    expect(outputs[0].data[1999]).toBe(249.75);
    expect(outputs[1].data.every((value) => value === 0)).toBe(true);
    // Here, parsing alone would hold it for as long as `parse`, and flattening and writing as long again.
    expect(held).toBeLessThan(Math.max(80, parse));
  });

  it('reads large binary tensors beside other requests', async () => {
    const tensor = new Float32Array(ROWS * 16).fill(0.5);
    const json = new TextEncoder().encode(
      JSON.stringify({
        inputs: ['INPUT0', 'INPUT1'].map((name) => ({
          name,
          shape: [ROWS, 16],
          datatype: 'FP32',
          parameters: { binary_data_size: tensor.byteLength },
        })),
        outputs: [{ name: 'OUTPUT0', parameters: { binary_data: true } }],
      }),
    );
    const body = new Uint8Array(
      Buffer.concat([json, new Uint8Array(tensor.buffer), new Uint8Array(tensor.buffer)]),
    );
    const headers = { 'inference-header-content-length': String(json.byteLength) };
    const [answer, health] = await Promise.all([post(body, headers), ask(`${server.url}/v2/health/live`)]);
    expect(health.status).toBe(200);
    const bytes = Buffer.concat(answer);
    expect(bytes.subarray(-4).readFloatLE()).toBe(1);
    tensor[ROWS * 16 - 1] = NaN;
    const broken = new Uint8Array(
      Buffer.concat([json, new Uint8Array(tensor.buffer), new Uint8Array(tensor.buffer)]),
    );
    const refused = await ask(`${server.url}/v2/models/add_sub/infer`, {
      method: 'POST',
      body: broken,
      headers,
    });
    expect(refused.status).toBe(400);
    expect(refused.body['error']).toMatch(/element 1919999/);
  });
});
