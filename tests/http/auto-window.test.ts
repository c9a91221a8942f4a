import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { z } from 'zod';
import { predictResponseSchema } from '#ballast/server/schemas.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { readZip } from '../../bench/shift/zip-archive.js';
import { formOf } from './support/pictures.js';
import { ask, serveFolder, type TestServer } from './support/server.js';

type Answer = z.output<typeof predictResponseSchema>;

interface Picture {
  readonly label: string;
  readonly bytes: Buffer;
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const zip = here('../../../shared/data/cifar10-test.zip');
const missing = !existsSync(zip);
if (missing) console.warn(`${zip} is not here: window: auto is not tested on pictures.`);

describe.skipIf(missing)('window: auto, on test pictures', () => {
  let server: TestServer;
  let byLabel: Map<string, Picture[]>;
  let shuffled: Picture[];

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ballast-auto-'));
    await cp(here('../../models/cifar10'), join(folder, 'cifar10'), { recursive: true });
    const file = join(folder, 'cifar10', 'model.yaml');
    const config = parse(await readFile(file, 'utf8')) as { lame: Record<string, unknown> };
    await writeFile(file, stringify({ ...config, lame: { ...config.lame, window: 'auto' } }));
    server = await serveFolder(folder);
    byLabel = new Map();
    for (const { path, bytes } of await readZip(zip)) {
      if (!path.endsWith('.jpg')) continue;
      const label = path.split('/').at(-2)!;
      byLabel.set(label, [...(byLabel.get(label) ?? []), { label, bytes }]);
    }
    const some = [...byLabel.values()].flatMap((pictures) => pictures.slice(0, 20));
    shuffled = [...new SeededRandom(1).permutation(some.length)].map((i) => some[i]);
  });
  afterAll(() => server.close());

  async function predict(pictures: readonly Picture[], query = ''): Promise<Answer> {
    const answer = await ask(`${server.url}/v1/models/cifar10/predict?top=1${query}`, {
      method: 'POST',
      body: formOf(pictures.map(({ bytes }) => bytes)),
    });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return predictResponseSchema.strict().parse(answer.body);
  }

  it('leaves shuffled pictures as they are, and says so', async () => {
    const { adaptation, predictions } = await predict(shuffled.slice(0, 64));
    expect(adaptation.lame).toEqual({
      ...{ scope: 'request', samples: 64, iterations: 0, changed: 0 },
      ...{ window: 1, decision: 'shuffled' },
    });
    for (const { index, probability, base } of predictions) {
      expect([index, probability]).toEqual([base.index, base.probability]);
    }
  });

  it('adapts the runs of a request', async () => {
    const pictures = ['cat', 'ship', 'bird', 'frog'].flatMap((label) => byLabel.get(label)!.slice(100, 116));
    const { adaptation, predictions } = await predict(pictures);
    const right = (labels: readonly string[]): number =>
      labels.filter((label, i) => label === pictures[i].label).length;
    expect(['runs', 'some-runs']).toContain(adaptation.lame!.decision);
    expect(adaptation.lame!.window).toBeGreaterThan(4);
    expect(adaptation.lame!.window).toBeLessThanOrEqual(6);
    expect(adaptation.lame!.changed).toBeGreaterThan(0);
    expect(right(predictions.map(({ label }) => label))).toBeGreaterThan(
      right(predictions.map(({ base }) => base.label)),
    );
  });

  it('follows a stream from shuffled pictures to a run, within its past', async () => {
    const before = await predict(shuffled.slice(0, 60), '&stream=cam');
    expect(before.adaptation.lame).toMatchObject({ scope: 'stream', decision: 'shuffled' });
    let last = before;
    for (const picture of byLabel.get('ship')!.slice(100, 120))
      last = await predict([picture], '&stream=cam');
    expect(last.adaptation.lame).toMatchObject({ scope: 'stream', samples: 80, decision: 'runs', window: 6 });
    const told = await ask(`${server.url}/v1/streams/cam`);
    expect(told.body).toMatchObject({ windows: [{ samples: 80 }] });
  });

  it('has nothing to say about one picture', async () => {
    const { adaptation } = await predict(shuffled.slice(0, 1), '&stream=new');
    expect(adaptation.lame).toMatchObject({ samples: 1, changed: 0, window: 1, decision: 'alone' });
  });

  it('keeps as many samples of a stream as it looks back', async () => {
    for (let begin = 0; begin < 200; begin += 50)
      await predict(shuffled.slice(begin, begin + 50), '&stream=long');
    const more = await predict([...shuffled.slice(0, 100)], '&stream=long');
    expect(more.adaptation.lame!.samples).toBe(300);
    const told = await ask(`${server.url}/v1/streams/long`);
    expect(told.body).toMatchObject({ windows: [{ samples: 256 }] });
  });
});
