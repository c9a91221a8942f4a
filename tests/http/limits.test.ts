import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formOf, jpeg } from './support/pictures.js';
import { ask, post, startServer, type Answer, type TestServer } from './support/server.js';

let server: TestServer;

beforeAll(async () => {
  server = await startServer(['pictures', 'slow'], {
    maxBodyMb: 2,
    maxFiles: 4,
    maxPendingMb: 3,
  });
});
afterAll(() => server.close());

/** A request that takes about `trips` × 5 ms. */
function slow(trips: number, url = server.url): Promise<Answer> {
  return post(`${url}/v2/models/slow/infer`, {
    inputs: [
      { name: 'INPUT', shape: [1, 16], datatype: 'FP32', data: Array<number>(16).fill(1) },
      { name: 'TRIPS', shape: [1, 1], datatype: 'INT64', data: [trips] },
    ],
  });
}

async function metric(line: string, url = server.url): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const found = text.split('\n').find((each) => each.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1) ?? 0);
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

describe('limits', () => {
  it('a full queue: 429 with Retry-After; the others are answered', async () => {
    const before = await metric('ballast_rejected_total{reason="queue-full"}');
    const answers = await Promise.all(Array.from({ length: 12 }, () => slow(10)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers, body } of refused) {
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
      expect(body['error']).toMatch(/queue/);
    }
    expect(answers.filter(({ status }) => status === 200).length).toBe(12 - refused.length);
    expect(await metric('ballast_rejected_total{reason="queue-full"}')).toBe(before + refused.length);
  });

  it('a passed deadline: 504 at once, while probes and metrics are answered', async () => {
    const hasty = await startServer(['slow'], { requestTimeout: 0.5 });
    const begin = performance.now();
    let ended = false as boolean;
    const late = slow(1500, hasty.url).finally(() => (ended = true));
    const probes: number[] = [];
    while (!ended) {
      const start = performance.now();
      expect((await ask(`${hasty.url}/v2/health/live`)).status).toBe(200);
      probes.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const answer = await late;
    expect(answer.status).toBe(504);
    expect(answer.body['error']).toMatch(/0.5 seconds/);
    expect(performance.now() - begin).toBeLessThan(1500);
    expect(median(probes)).toBeLessThan(20);
    expect(await metric('ballast_rejected_total{reason="deadline"}', hasty.url)).toBe(1);
    // The pass cannot be stopped; once it has ended the model answers again.
    await expect.poll(async () => (await slow(1, hasty.url)).status, { timeout: 25_000 }).toBe(200);
    await hasty.close();
  }, 60_000);

  it('bodies and files beyond what the operator allows', async () => {
    const url = `${server.url}/v1/models/pictures/predict`;
    const picture = await jpeg(0);
    const five = await ask(url, { method: 'POST', body: formOf(Array<Buffer>(5).fill(picture)) });
    expect(five.status).toBe(413);
    expect(five.body['detail']).toMatch(/4 files/);
    const large = await ask(url, { method: 'POST', body: formOf([Buffer.alloc(2_100_000)]) });
    expect(large.status).toBe(413);
    expect(large.body['detail']).toMatch(/2 MB/);
    expect(await metric('ballast_rejected_total{reason="too-large"}')).toBe(2);
  });

  it('bodies that are too much together: 429', async () => {
    const url = `${server.url}/v1/models/pictures/predict`;
    let release: (() => void) | undefined;
    const stalled = fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'image/jpeg' },
      duplex: 'half',
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(new Uint8Array(1_900_000));
          release = () => {
            controller.close();
          };
        },
      }),
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const headers = { 'content-type': 'image/jpeg' };
    const second = await ask(url, { method: 'POST', headers, body: new Uint8Array(1_900_000) });
    expect(second.status).toBe(429);
    expect(second.body['detail']).toMatch(/MB/);
    release?.();
    expect((await stalled).status).toBe(415);
    const third = await ask(url, { method: 'POST', headers, body: new Uint8Array(1_900_000) });
    expect(third.status).toBe(415);
  });
});
