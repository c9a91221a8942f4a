import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { readSafetensors } from '#ballast/runtime/safetensors.js';
import { serveInProcess, type Running } from './support/command-line.js';
import { digitsFolder, digitZip, eventsOf, fit, until, type JobEvent } from './support/digits.js';
import { ask } from './support/server.js';

/** Long enough for a checkpoint, of which there is one a second at most. */
const JOB = 'queries=14000&batch=8&samples=2&seed=11&every=5';

const folders: string[] = [];
const started: Running[] = [];

afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.splice(0).map(({ exit }) => exit));
});
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function newFolder(): Promise<string> {
  const folder = await digitsFolder();
  folders.push(folder);
  return folder;
}

async function serve(folder: string): Promise<Running> {
  const running = await serveInProcess(folder);
  started.push(running);
  return running;
}

async function begin({ url }: Running): Promise<string> {
  const { status, body } = await fit(url, await digitZip(), JOB);
  expect(status, JSON.stringify(body)).toBe(202);
  return String(body['id']);
}

const checkpointOf = (folder: string, id: string): string =>
  join(folder, 'digits', 'prompts', 'jobs', id, 'checkpoint.safetensors');

const checkpointed = (folder: string, id: string): Promise<unknown> =>
  until(() => stat(checkpointOf(folder, id)).catch(() => undefined));

const endOf = async ({ url }: Running, id: string): Promise<JobEvent['job']> =>
  (await eventsOf(url, id)).at(-1)!.job;

/** What a fit came to, bit for bit. */
async function versionOf(folder: string): Promise<object> {
  const file = join(folder, 'digits', 'prompts', '1.safetensors');
  const { tensors, metadata } = readSafetensors(await readFile(file), file);
  const { created, ...card } = JSON.parse(metadata['card']!) as Record<string, unknown>;
  expect(created).toBeTypeOf('string');
  const bytes = (name: string): string => Buffer.from(tensors.get(name)!.data.buffer).toString('base64');
  return { parameters: bytes('parameters'), statistics: bytes('statistics'), card };
}

describe('a job whose server ends', () => {
  it('goes on after a crash and after a shutdown, to the end of one that nothing disturbed', async () => {
    const [calm, killed] = [await newFolder(), await newFolder()];
    const [undisturbed, first] = [await serve(calm), await serve(killed)];
    const [calmId, id] = [await begin(undisturbed), await begin(first)];

    await checkpointed(killed, id);
    first.child.kill('SIGKILL');
    expect(await first.exit).toBe('SIGKILL');

    const second = await serve(killed);
    expect(second.log()).toContain(`job ${id} goes on`);
    await until(async () => (await ask(`${second.url}/v1/jobs/${id}`)).body['progress']);
    const asked = performance.now();
    second.child.kill('SIGTERM');
    expect(await second.exit).toBe(0);
    expect(performance.now() - asked).toBeLessThan(5_000);

    const third = await serve(killed);
    expect(await endOf(third, id)).toMatchObject({ id, state: 'succeeded', result: { prompt: '1' } });
    expect(await endOf(undisturbed, calmId)).toMatchObject({ state: 'succeeded' });
    expect(await versionOf(killed)).toEqual(await versionOf(calm));
    await until(() =>
      stat(checkpointOf(killed, id)).then(
        () => undefined,
        () => true,
      ),
    );
  }, 120_000);

  it('remembers at the next start how a job ended', async () => {
    const folder = await newFolder();
    const first = await serve(folder);
    const { body } = await fit(first.url, await digitZip(), 'queries=300&batch=8&samples=1');
    const ended = await endOf(first, String(body['id']));
    first.child.kill('SIGTERM');
    expect(await first.exit).toBe(0);
    const second = await serve(folder);
    expect((await ask(`${second.url}/v1/jobs`)).body).toEqual({ jobs: [ended] });
    second.child.kill('SIGTERM');
    expect(await second.exit).toBe(0);
  });
});
