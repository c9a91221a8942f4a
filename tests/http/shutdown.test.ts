import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveInProcess, type Running } from './support/command-line.js';
import { modelsFolder } from './support/models.js';
import { ask, post } from './support/server.js';

let folder: string;

beforeAll(async () => {
  folder = await modelsFolder(['slow', 'add_sub']);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const serve = (...flags: string[]): Promise<Running> => serveInProcess(folder, ...flags);

const slow = (url: string, trips: number): ReturnType<typeof post> =>
  post(`${url}/v2/models/slow/infer`, {
    inputs: [
      { name: 'INPUT', shape: [1, 16], datatype: 'FP32', data: Array<number>(16).fill(2) },
      { name: 'TRIPS', shape: [1, 1], datatype: 'INT64', data: [trips] },
    ],
  });

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('the command line', () => {
  it('finishes what is in flight on SIGTERM, and exits 0', async () => {
    const { child, url, exit, log } = await serve();
    const inFlight = slow(url, 500);
    await pause(200);
    child.kill('SIGTERM');
    await pause(50);
    await expect(ask(`${url}/v2/health/live`, { headers: { connection: 'close' } })).rejects.toThrow();
    const { status, headers } = await inFlight;
    expect(status).toBe(200);
    expect(headers.get('connection')).toBe('close');
    expect(await exit).toBe(0);
    expect(log()).toContain('"msg":"shut down"');
  });

  it('ends the hard way on a second signal, and where requests outlast the shutdown', async () => {
    const twice = await serve();
    const lost = slow(twice.url, 2000).catch(() => 'cut off');
    await pause(200);
    twice.child.kill('SIGINT');
    await pause(50);
    twice.child.kill('SIGINT');
    expect(await twice.exit).toBe('SIGKILL');
    expect(await lost).toBe('cut off');

    const late = await serve('--shutdown-timeout', '0.2');
    const cut = slow(late.url, 2000).catch(() => 'cut off');
    await pause(200);
    late.child.kill('SIGTERM');
    expect(await late.exit).toBe('SIGKILL');
    expect(late.log()).toContain('cut off');
    expect(await cut).toBe('cut off');
  });

  it('logs each model and each request, in JSON, without what was sent', async () => {
    const { child, url, exit, log } = await serve();
    await ask(`${url}/v2/models/add_sub?secret=1`, {
      headers: { 'x-request-id': 'my-id', authorization: 'hidden' },
    });
    await ask(`${url}/v2/health/live`);
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    const lines = log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines.find(({ model, msg }) => model === 'slow' && String(msg).includes('runs on cpu')),
    ).toBeDefined();
    const requests = lines.filter(({ msg }) => msg === 'request');
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({
      id: 'my-id',
      method: 'GET',
      path: '/v2/models/add_sub',
      status: 200,
    });
    expect(log()).not.toMatch(/secret|hidden/);
  });

  it('fails with a sentence where it cannot start', async () => {
    const taken = await serve();
    const port = new URL(taken.url).port;
    for (const [flags, sentence] of [
      [['--port', port], /port \d+.*--port/],
      [['--port', 'abc'], /--port.*"abc"/],
      [['--models', '/nowhere'], /\/nowhere/],
    ] as const) {
      const child = spawn(process.execPath, ['dist/cli.js', 'serve', '--models', folder, ...flags], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let text = '';
      child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
      const [code] = (await once(child, 'close')) as [number];
      expect(code).toBe(1);
      expect(text).toMatch(sentence);
      expect(text).not.toMatch(/at .*\.js:/);
    }
    taken.child.kill('SIGTERM');
    expect(await taken.exit).toBe(0);
  });
});
