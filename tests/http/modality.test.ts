import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { expectProblem } from './support/problems.js';
import { ask, post, serveFolder, type Answer, type TestServer } from './support/server.js';

const source = fileURLToPath(new URL('../../models/spoken/', import.meta.url));

interface Prediction {
  readonly probability: number;
  readonly top: { readonly index: number; readonly probability: number }[];
  readonly missing?: string[];
  readonly modulation?: string;
}

interface Predictions {
  readonly predictions: Prediction[];
  readonly adaptation: { readonly modulation?: { readonly missing: string[][] } };
}

/** A picture of noise. */
function picture(seed: number): Promise<Buffer> {
  const random = new SeededRandom(seed);
  const pixels = Uint8Array.from({ length: 28 * 28 }, () => Math.floor(random.uniform() * 256));
  return sharp(pixels, { raw: { width: 28, height: 28, channels: 1 } })
    .png()
    .toBuffer();
}

/** Half a second of two tones, 8 kHz, 16 bit. */
function recording(seed: number): Buffer {
  const count = 4000;
  const wav = Buffer.alloc(44 + 2 * count);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8000, 24);
  wav.writeUInt32LE(16000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36);
  wav.writeUInt32LE(2 * count, 40);
  for (let i = 0; i < count; i++) {
    const value = Math.sin(i * (0.1 + 0.05 * seed)) + Math.sin(i * (0.4 + 0.03 * seed));
    wav.writeInt16LE(Math.round(8000 * value), 44 + 2 * i);
  }
  return wav;
}

async function spokenFolder(change: (yaml: string) => string = (yaml) => yaml): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ballast-spoken-'));
  await cp(source, join(folder, 'spoken'), { recursive: true });
  const yaml = await readFile(join(source, 'model.yaml'), 'utf8');
  await writeFile(join(folder, 'spoken', 'model.yaml'), change(yaml));
  return folder;
}

describe('a model of pictures and sound', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await serveFolder(await spokenFolder());
  });
  afterAll(() => server.close());

  const predictUrl = (): string => `${server.url}/v1/models/spoken/predict?top=10`;

  function send(parts: readonly (readonly [string, Uint8Array])[]): Promise<Answer> {
    const form = new FormData();
    for (const [name, bytes] of parts) form.append(name, new Blob([Uint8Array.from(bytes)]), name);
    return ask(predictUrl(), { method: 'POST', body: form });
  }

  async function predictions(parts: readonly (readonly [string, Uint8Array])[]): Promise<Predictions> {
    const { status, body } = await send(parts);
    expect(status, JSON.stringify(body)).toBe(200);
    return body as unknown as Predictions;
  }

  function byClass({ top }: Prediction): number[] {
    return [...top].sort((a, b) => a.index - b.index).map(({ probability }) => probability);
  }

  it('says of each sample what was missing', async () => {
    const { predictions: all, adaptation } = await predictions([
      ['image[0]', await picture(1)],
      ['audio[0]', recording(1)],
      ['image[1]', await picture(2)],
      ['audio[2]', recording(3)],
    ]);
    expect(all.map(({ missing }) => missing)).toEqual([[], ['audio'], ['image']]);
    expect(adaptation.modulation).toEqual({ missing: [[], ['audio'], ['image']] });
  });

  it('takes samples after the last of an input for missing there, where files have numbers', async () => {
    const { predictions: all } = await predictions([
      ['image[0]', await picture(1)],
      ['audio[0]', recording(1)],
      ['audio[1]', recording(2)],
    ]);
    expect(all.map(({ missing }) => missing)).toEqual([[], ['image']]);
  });

  it('answers each sample of a mixed batch as it does alone', async () => {
    const together = await predictions([
      ['image[0]', await picture(1)],
      ['audio[0]', recording(1)],
      ['image[1]', await picture(2)],
      ['audio[2]', recording(3)],
    ]);
    const alone = [
      await predictions([
        ['image', await picture(1)],
        ['audio', recording(1)],
      ]),
      await predictions([['image', await picture(2)]]),
      await predictions([['audio', recording(3)]]),
    ];
    alone.forEach(({ predictions: [one] }, i) => {
      byClass(one).forEach((probability, index) => {
        expect(byClass(together.predictions[i])[index]).toBeCloseTo(probability, 5);
      });
    });
  });

  it('takes null for what is missing in JSON, and tensors that are left out over the protocol', async () => {
    const image = (await picture(2)).toString('base64');
    const { body } = await post(predictUrl(), {
      image: [image, null],
      audio: [null, recording(3).toString('base64')],
    });
    expect((body as unknown as Predictions).predictions.map(({ missing }) => missing)).toEqual([
      ['audio'],
      ['image'],
    ]);
    const data = Array.from({ length: 28 * 28 }, (_, i) => (i % 7) / 7);
    const answer = await post(`${server.url}/v2/models/spoken/infer`, {
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data }],
      outputs: [{ name: 'probabilities' }],
    });
    expect(answer.status).toBe(200);
  });

  it('counts what was missing', async () => {
    const count = async (): Promise<number> => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      const found = /^ballast_missing_modality_total\{model="spoken",modality="audio"\} (\d+)$/m.exec(text);
      return Number(found?.[1] ?? 0);
    };
    const before = await count();
    await predictions([
      ['image', await picture(1)],
      ['image', await picture(2)],
    ]);
    expect(await count()).toBe(before + 2);
  });

  it.each<[string, () => Promise<[string, Uint8Array][]>, RegExp]>([
    ['no file', () => Promise.resolve([]), /No file came|no boundary|broken/],
    ['an unknown modality', async () => [['smell', await picture(1)]], /came as "smell".*"image", "audio"/],
    [
      'two files for one sample',
      async () => [
        ['image[0]', await picture(1)],
        ['image[0]', await picture(2)],
      ],
      /Two files came for one sample, "image\[0\]"/,
    ],
    [
      'counts that differ, without numbers',
      async () => [
        ['image', await picture(1)],
        ['image', await picture(2)],
        ['audio', recording(1)],
      ],
      /different numbers of files \(image: 2, audio: 1\).*with the number of its sample/,
    ],
    [
      'a sample of which nothing came',
      async () => [
        ['image[0]', await picture(1)],
        ['audio[2]', recording(1)],
      ],
      /Sample 1 has no file at all/,
    ],
    [
      'numbers for some files only',
      async () => [
        ['image[0]', await picture(1)],
        ['image', await picture(2)],
      ],
      /give all or none/,
    ],
    [
      'a recording cut short',
      () => Promise.resolve([['audio', recording(1).subarray(0, 3000)]]),
      /audio\[0\]/,
    ],
  ])('refuses %s', async (_, parts, message) => {
    expectProblem(await send(await parts()), 400, message);
  });

  it('refuses a set whose shapes do not fit, and serves on', async () => {
    const folder = server.folder;
    const file = join(folder, 'spoken', 'modulation.safetensors');
    const whole = await readFile(file);
    await cp(fileURLToPath(new URL('../golden/coordinator/decoder.safetensors', import.meta.url)), file);
    const { status, body } = await ask(`${server.url}/v2/repository/models/spoken/load`, { method: 'POST' });
    await writeFile(file, whole);
    expect(status).toBe(422);
    expect(body['error']).toMatch(/is no tensor of a set/);
    await predictions([['image', await picture(1)]]);
  });
});

describe('a model that takes broken files for missing ones', () => {
  it('answers from what is left, and refuses a sample of which nothing is', async () => {
    const server = await serveFolder(
      await spokenFolder((yaml) =>
        yaml.replace(
          /^modulation: .*$/m,
          'modulation: { sets: modulation.safetensors, onBroken: treat-as-missing }',
        ),
      ),
    );
    try {
      const form = new FormData();
      form.append('image', new Blob([Uint8Array.from(await picture(1))]), 'image');
      form.append('audio', new Blob(['no sound']), 'audio');
      const url = `${server.url}/v1/models/spoken/predict`;
      const { body } = await ask(url, { method: 'POST', body: form });
      expect((body as unknown as Predictions).predictions[0].missing).toEqual(['audio']);
      const bad = new FormData();
      bad.append('audio', new Blob(['no sound']), 'audio');
      expectProblem(await ask(url, { method: 'POST', body: bad }), 400, /Nothing of sample 0 can be read/);
    } finally {
      await server.close();
    }
  });
});
