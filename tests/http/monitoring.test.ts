import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { driftReference } from '#ballast/adapt/feature-drift.js';
import { installReference, writeReference } from '#ballast/pipeline/drift-reference.js';
import { fitReference } from '#ballast/pipeline/fit-reference.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { formOf, jpeg } from './support/pictures.js';
import { ask, serveFolder, type TestServer } from './support/server.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PHOTOS = ['cat', 'chelsea', 'deer', 'dog', 'duck', 'horse', 'kingfisher'];
const FIT = 192;

let server: TestServer;
let model: string;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-'));
  model = join(folder, 'cifar10');
  await mkdir(model);
  await cp(here('../../models/cifar10'), model, { recursive: true });
  server = await serveFolder(folder, { warmUp: 0 });
});
afterAll(() => server.close());

/** Crops of the example photos: the pictures that the model is at home with here. */
async function crops(count: number, seed: number): Promise<Buffer[]> {
  const random = new SeededRandom(seed);
  const photos = await Promise.all(
    PHOTOS.map((name) =>
      sharp(here(`../../examples/${name}.jpg`))
        .resize(64, 64, { fit: 'cover' })
        .png()
        .toBuffer(),
    ),
  );
  return Promise.all(
    Array.from({ length: count }, () => {
      const side = 36 + Math.floor(random.uniform() * 28);
      const [left, top] = [0, 1].map(() => Math.floor(random.uniform() * (64 - side)));
      const photo = sharp(photos[Math.floor(random.uniform() * photos.length)]);
      return photo.extract({ left, top, width: side, height: side }).resize(32, 32).jpeg().toBuffer();
    }),
  );
}

async function send(pictures: readonly Uint8Array[]): Promise<void> {
  for (let begin = 0; begin < pictures.length; begin += 32) {
    const { status } = await ask(`${server.url}/v1/models/cifar10/predict?lame=off`, {
      method: 'POST',
      body: formOf(pictures.slice(begin, begin + 32)),
    });
    expect(status).toBe(200);
  }
  // Samples are looked at in later turns of the event loop than the answer's.
  await sleep(50);
}

/** The gauge of the model as /metrics tells it; undefined where it is absent. */
async function gauge(name: string): Promise<number | undefined> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  expect(text).toContain(`# TYPE ${name} gauge`);
  const value = new RegExp(`^${name}\\{model="cifar10"\\} (\\S+)$`, 'm').exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
}

const load = (): ReturnType<typeof ask> =>
  ask(`${server.url}/v2/repository/models/cifar10/load`, { method: 'POST' });

describe('the gauges of the traffic', () => {
  it('show diversity alone where there is no reference', async () => {
    expect(await gauge('ballast_class_diversity')).toBeUndefined();
    await send(await crops(32, 1));
    expect(await gauge('ballast_class_diversity')).toBeGreaterThan(0.2);
    expect(await gauge('ballast_feature_drift')).toBeUndefined();
  });

  it('show with a reference whether traffic is still like it', async () => {
    const served = server.server.models.get('cifar10');
    const reference = await fitReference(served, await crops(FIT, 2), { seed: 1 });
    expect(reference).toMatchObject({ features: 256, samples: FIT, window: FIT / 2 });
    await installReference(model, reference);
    expect((await load()).status).toBe(200);
    // A model that is loaded anew starts anew.
    expect(await gauge('ballast_class_diversity')).toBeUndefined();

    await send(await crops(FIT / 2, 3));
    const [usual, diverse] = [await gauge('ballast_feature_drift'), await gauge('ballast_class_diversity')];
    expect(usual).toBeLessThan(1);

    await send(await Promise.all(Array.from({ length: FIT / 2 }, (_, i) => jpeg(i))));
    expect(await gauge('ballast_feature_drift')).toBeGreaterThan(5);

    const frames = here('../../examples/burst/');
    const burst = await Promise.all((await readdir(frames)).sort().map((name) => readFile(frames + name)));
    await send(Array.from({ length: 3 * FIT }, (_, i) => burst[i % burst.length]));
    expect(await gauge('ballast_class_diversity')).toBeLessThan(diverse! * 0.7);
    expect(await gauge('ballast_feature_drift')).toBeGreaterThan(2);

    await send(await crops(FIT / 2, 4));
    expect(await gauge('ballast_feature_drift')).toBeLessThan(1);
  }, 60_000);

  it('keep the old model where the reference is of another size, or missing', async () => {
    const noise = new GaussianNoise(1);
    const features = { data: Float32Array.from({ length: 64 * 7 }, () => noise.next()), rows: 64, cols: 7 };
    const path = join(model, 'reference.safetensors');
    await writeReference(path, driftReference(features, { seed: 1 }));
    const mistaken = await load();
    expect(mistaken.status).toBe(422);
    expect(JSON.stringify(mistaken.body)).toMatch(
      /is for features of 7 numbers, and those of the model have 256/,
    );
    await rm(path);
    const gone = await load();
    expect(gone.status).toBe(422);
    expect(JSON.stringify(gone.body)).toMatch(/reference\.safetensors cannot be read/);
    await send(await crops(8, 5));
    expect(await gauge('ballast_feature_drift')).toBeDefined();
  });

  it('go with the model', async () => {
    const { status } = await ask(`${server.url}/v2/repository/models/cifar10/unload`, { method: 'POST' });
    expect(status).toBe(200);
    expect(await gauge('ballast_feature_drift')).toBeUndefined();
    expect(await gauge('ballast_class_diversity')).toBeUndefined();
  });
});
