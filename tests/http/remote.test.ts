import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digitPng, digitZip, digitsFolder, eventsOf, fit } from './support/digits.js';
import { ask, serveFolder, type Answer, type TestServer } from './support/server.js';

const digits = fileURLToPath(new URL('../../models/digits/', import.meta.url));

/** What a gateway before the far server does with a call for inference; undefined: nothing. */
type Mishap = (req: IncomingMessage, res: ServerResponse) => boolean;

/** Hands requests on to a server, unless a mishap comes first. */
class Gateway {
  mishap: Mishap = () => false;
  inferences = 0;
  authorization: string | undefined;
  private readonly server: Server;

  private constructor(private readonly target: string) {
    this.server = createServer((req, res) => void this.pass(req, res));
  }

  static async open(target: string): Promise<Gateway> {
    const gateway = new Gateway(target);
    await new Promise<void>((resolve) => gateway.server.listen(0, '127.0.0.1', resolve));
    return gateway;
  }

  get host(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async pass(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    this.authorization = req.headers.authorization;
    if (req.url!.endsWith('/infer')) {
      this.inferences++;
      if (this.mishap(req, res)) return;
    }
    const names = ['content-type', 'inference-header-content-length'];
    const headers = Object.fromEntries(
      names.flatMap((name) => (req.headers[name] === undefined ? [] : [[name, String(req.headers[name])]])),
    );
    const body = chunks.length === 0 ? null : Buffer.concat(chunks);
    const answer = await fetch(`${this.target}${req.url!}`, { method: req.method!, headers, body });
    for (const name of names) {
      const value = answer.headers.get(name);
      if (value !== null) res.setHeader(name, value);
    }
    res.statusCode = answer.status;
    res.end(Buffer.from(await answer.arrayBuffer()));
  }
}

/** A folder with one model whose classifier is behind a gateway. */
async function farFolder(host: string, more = ''): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-far-'));
  await mkdir(join(folder, 'far'));
  for (const file of ['coordinator.onnx', 'labels.txt'])
    await copyFile(join(digits, file), join(folder, 'far', file));
  await writeFile(
    join(folder, 'far', 'model.yaml'),
    [
      'name: far',
      'labels: labels.txt',
      'inputs: { image: { kind: image, width: 64, height: 64, fit: fill, mean: [0], std: [1] } }',
      'classifier:',
      `  url: http://${host}/v2/models/digits`,
      '  headers: { Authorization: "Bearer ${BALLAST_TEST_TOKEN}" }',
      '  timeout: 1',
      '  retries: 1',
      'prompt: { coordinator: coordinator.onnx }',
      more,
      '',
    ].join('\n'),
  );
  return folder;
}

function predict(url: string, model: string, png: Uint8Array, query = ''): Promise<Answer> {
  return ask(`${url}/v1/models/${model}/predict?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: Uint8Array.from(png),
  });
}

interface Predictions {
  readonly predictions: { readonly probability: number; readonly label: string }[];
}

describe('a remote classifier', () => {
  let near: TestServer;
  let far: TestServer;
  let gateway: Gateway;

  beforeAll(async () => {
    process.env['BALLAST_TEST_TOKEN'] = 'sesame-42';
    far = await serveFolder(await digitsFolder());
    gateway = await Gateway.open(far.url);
    near = await serveFolder(await farFolder(gateway.host), { remoteHosts: [gateway.host] });
  });

  afterAll(async () => {
    await near.close();
    await far.close();
    gateway.close();
  });

  async function queries(purpose: string): Promise<number> {
    const text = await (await fetch(`${near.url}/metrics`)).text();
    const line = new RegExp(`^ballast_prompt_queries_total{model="far",purpose="${purpose}"} (\\d+)$`, 'm');
    return Number(line.exec(text)?.[1] ?? 0);
  }

  it('answers as the server that has the model, with its credentials from the environment', async () => {
    const png = await digitPng(3, 1);
    const here = (await predict(near.url, 'far', png)).body as unknown as Predictions;
    const there = (await predict(far.url, 'digits', png)).body as unknown as Predictions;
    expect(here.predictions[0].label).toBe(there.predictions[0].label);
    expect(here.predictions[0].probability).toBeCloseTo(there.predictions[0].probability, 5);
    expect(gateway.authorization).toBe('Bearer sesame-42');
    const { body } = await ask(`${near.url}/v1/models`);
    expect(body['models']).toMatchObject([{ name: 'far', provider: 'remote', prompt: 'on' }]);
  });

  it('counts every picture that it is asked about, and every try', async () => {
    const png = await digitPng(5, 2);
    const before = await queries('serve');
    await predict(near.url, 'far', png);
    expect(await queries('serve')).toBe(before + 1);
    let failures = 1;
    gateway.mishap = (_, res) => {
      if (failures-- <= 0) return false;
      res.writeHead(503).end();
      return true;
    };
    expect((await predict(near.url, 'far', png)).status).toBe(200);
    expect(await queries('serve')).toBe(before + 3);
  });

  it.each([
    ['429', (res: ServerResponse) => res.writeHead(429).end(), /HTTP status 429, too many requests/],
    ['garbage', (res: ServerResponse) => res.end('<html>'), /remote classifier at 127\.0\.0\.1/],
    ['nothing in time', () => undefined, /did not answer within 1 s/],
    ['a cut connection', (res: ServerResponse) => res.destroy(), /cannot be reached/],
  ])('answers 503 and serves on where the remote answers %s', async (_, mishap, message) => {
    const png = await digitPng(1, 3);
    gateway.mishap = (__, res) => {
      mishap(res);
      return true;
    };
    const { status, body, headers } = await predict(near.url, 'far', png);
    gateway.mishap = () => false;
    expect(status).toBe(503);
    expect(body['detail']).toMatch(message);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await predict(near.url, 'far', png)).status).toBe(200);
  });

  it('asks for a budget before it fits', async () => {
    const { status, body } = await fit(near.url, await digitZip(), '', 'far');
    expect(status).toBe(400);
    expect(body['detail']).toMatch(/may cost: say with "queries"/);
  });

  it('fits the same prompt as the server that has the model, through an outage, and counts the cost', async () => {
    const options = 'queries=900&seed=4&batch=8&samples=2&every=5';
    const zip = await digitZip(4, 4);
    const before = await queries('fit');
    let calls = 0;
    // Longer than the tries of one call.
    gateway.mishap = (_, res) => {
      calls++;
      if (calls < 10 || calls > 13) return false;
      res.writeHead(503).end();
      return true;
    };
    const [there, here] = await Promise.all([fit(far.url, zip, options), fit(near.url, zip, options, 'far')]);
    const [last, lastThere] = await Promise.all([
      eventsOf(near.url, String(here.body['id'])).then((events) => events.at(-1)!.job),
      eventsOf(far.url, String(there.body['id'])).then((events) => events.at(-1)!.job),
    ]);
    gateway.mishap = () => false;
    expect(last.error).toBeUndefined();
    expect(last.state).toBe('succeeded');
    expect(last.progress!.queries).toBeLessThanOrEqual(900);
    expect((await queries('fit')) - before).toBeGreaterThan(last.progress!.queries);
    expect(last.result!.validation.loss).toBeCloseTo(lastThere.result!.validation.loss, 4);
  }, 30_000);
});

describe('a remote classifier that is not served', () => {
  it.each([
    [{ remoteHosts: [] }, 'token', '', /--remote-hosts allows/],
    [{ remoteHosts: ['127.0.0.1:9'] }, undefined, '', /needs the environment variable BALLAST_TEST_TOKEN/],
    [{ remoteHosts: ['127.0.0.1:9'] }, 'token', '', /127\.0\.0\.1:9 cannot be reached/],
    [{ remoteHosts: ['127.0.0.1:9'] }, 'token', 'robust: { file: robust.onnx }', /one is remote/],
  ])('says why: %o, token %s, %s', async (options, token, more, message) => {
    if (token === undefined) delete process.env['BALLAST_TEST_TOKEN'];
    else process.env['BALLAST_TEST_TOKEN'] = token;
    const server = await serveFolder(await farFolder('127.0.0.1:9', more), options);
    const { status, body } = await ask(`${server.url}/v1/models/far/prompts`);
    await server.close();
    expect(status).toBe(503);
    expect(body['detail']).toMatch(message);
  });
});
