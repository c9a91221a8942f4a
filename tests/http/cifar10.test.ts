import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer } from '#ballast/server/app.js';
import type { BallastServer } from '#ballast/server/ballast-server.js';
import { readZip } from '../../bench/shift/zip-archive.js';
import { formOf } from './support/pictures.js';
import { ask } from './support/server.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const zip = here('../../../shared/data/cifar10-test.zip');
const missing = !existsSync(zip);
if (missing) console.warn(`${zip} is not here: the shipped models' accuracy is not tested.`);

describe.skipIf(missing)('the shipped classifiers, on test pictures', () => {
  let server: BallastServer;
  let url: string;
  let pictures: { label: string; bytes: Buffer }[];

  beforeAll(async () => {
    server = await createServer({ models: here('../../models'), port: 0, logLevel: 'silent', warmUp: 0 });
    ({ url } = await server.listen());
    const files = (await readZip(zip)).filter(({ path }) => path.endsWith('.jpg'));
    pictures = files
      .filter((_, i) => i % 10 === 0)
      .map(({ path, bytes }) => ({ label: path.split('/').at(-2)!, bytes }));
  }, 60_000);
  afterAll(() => server.close());

  /** Share of the pictures that are answered right. */
  async function accuracy(query: string): Promise<number> {
    let right = 0;
    for (let begin = 0; begin < pictures.length; begin += 50) {
      const part = pictures.slice(begin, begin + 50);
      const { body } = await ask(`${url}/v1/models/cifar10/predict?lame=off&top=1&${query}`, {
        method: 'POST',
        body: formOf(part.map(({ bytes }) => bytes)),
      });
      const predictions = body['predictions'] as { label: string }[];
      right += predictions.filter(({ label }, i) => label === part[i].label).length;
    }
    return right / pictures.length;
  }

  it('are as accurate as their card says, and the mixture lies in between', async () => {
    const [standard, robust, mixed] = [
      await accuracy('smoothing=off'),
      await accuracy('alpha=1'),
      await accuracy('smoothing=on'),
    ];
    expect(pictures).toHaveLength(500);
    expect(standard).toBeGreaterThan(0.87);
    expect(robust).toBeGreaterThan(0.7);
    expect(mixed).toBeGreaterThan(robust + 0.04);
    expect(mixed).toBeLessThan(standard);
  }, 120_000);
});
