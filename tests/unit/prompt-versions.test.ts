import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { countParameters, countStatistics, planDecoder } from '#ballast/adapt/decoder-plan.js';
import { PromptVersions, type Prompt } from '#ballast/pipeline/prompt-versions.js';

const plan = planDecoder(8, 16, 16, 3);
let folder: string;
let versions: PromptVersions;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ballast-versions-'));
  await writeFile(join(folder, 'encoder.onnx'), 'an encoder');
  versions = await open();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (epsilon = 1, decoder = plan): Promise<PromptVersions> =>
  PromptVersions.open(folder, decoder, join(folder, 'encoder.onnx'), epsilon);

const pathOf = (version: string): string => join(folder, 'prompts', `${version}.safetensors`);

function prompt(seed = 0): Prompt {
  return {
    parameters: Float64Array.from({ length: countParameters(plan) }, (_, i) => Math.sin(seed + i)),
    statistics: new Float64Array(countStatistics(plan)).fill(1 + seed),
    card: {
      created: '2026-01-01T00:00:00.000Z',
      coordinator: versions.coordinator,
      epsilon: 1,
      pictures: 4,
      classes: ['cat', 'dog'],
      options: { seed, correction: 'spsa-gc' },
      step: 1,
      queries: 100,
      base: { loss: 2, accuracy: 0.5 },
      validation: { loss: 1, accuracy: 0.75 },
    },
  };
}

async function writeSome(count: number): Promise<void> {
  for (let seed = 0; seed < count; seed++) await versions.write(prompt(seed));
}

const numbers = async (): Promise<string[]> => (await versions.list()).map(({ version }) => version);

describe('PromptVersions', () => {
  it('is empty where nothing was fitted, and makes no folder for that', async () => {
    expect(await versions.list()).toEqual([]);
    expect(await versions.active()).toBeUndefined();
    await expect(versions.read('1')).rejects.toMatchObject({
      code: 'not-found',
      message: 'There is no prompt version "1"; none was fitted yet.',
    });
    expect(await readdir(folder)).toEqual(['encoder.onnx']);
  });

  it('gives back what was written, under numbers from 1, in their order', async () => {
    await writeSome(11);
    expect(await numbers()).toEqual(Array.from({ length: 11 }, (_, i) => String(i + 1)));
    expect(await versions.read('11')).toEqual(prompt(10));
  });

  it('numbers on after the last one, whatever was deleted before it', async () => {
    await writeSome(3);
    await versions.delete('2');
    expect(await versions.write(prompt())).toBe('4');
    expect(await numbers()).toEqual(['1', '3', '4']);
  });

  it('keeps the active version for later starts, until another or none is', async () => {
    await writeSome(2);
    await versions.activate('1');
    expect(await (await open()).active()).toBe('1');
    expect((await versions.list()).map(({ active }) => active)).toEqual([true, false]);
    await versions.activate('2');
    expect(await (await open()).active()).toBe('2');
    await versions.activate(undefined);
    expect(await (await open()).active()).toBeUndefined();
  });

  it('has no active version after that was deleted, and keeps it where another was', async () => {
    await writeSome(2);
    await versions.activate('2');
    await versions.delete('1');
    expect(await versions.active()).toBe('2');
    await versions.delete('2');
    expect(await versions.active()).toBeUndefined();
    // A number is never given twice: a client may still mean the old one.
    expect(await versions.write(prompt())).toBe('3');
    expect(await versions.active()).toBeUndefined();
  });

  it('takes a damaged note of the active version for none', async () => {
    await writeSome(1);
    for (const text of ['', '{', '{"version":7}', '{"version":"9"}', 'null']) {
      await writeFile(join(folder, 'prompts', 'active.json'), text);
      expect(await versions.active(), text).toBeUndefined();
    }
  });

  it('refuses versions that are none, whatever they are called, and names those there are', async () => {
    await writeSome(2);
    await writeFile(join(folder, 'secret.safetensors'), await readFile(pathOf('1')));
    for (const version of ['3', '0', '01', '../secret', '', 'x'.repeat(1000)]) {
      for (const act of ['read', 'activate', 'delete'] as const) {
        const message = expect.stringMatching(/^There is no prompt version .*; there are 1, 2\.$/) as string;
        await expect(versions[act](version), `${act} ${version}`).rejects.toMatchObject({
          code: 'not-found',
          message,
        });
      }
    }
  });

  it('refuses a prompt of another strength', async () => {
    await writeSome(1);
    const other = await open(0.5);
    for (const act of ['read', 'activate'] as const) {
      await expect(other[act]('1')).rejects.toMatchObject({
        code: 'impossible',
        message: expect.stringMatching(/epsilon 1, and model.yaml says 0.5; fit a new one/) as string,
      });
    }
  });

  it('refuses a prompt of another coordinator, by its bytes or its shapes', async () => {
    await writeSome(1);
    const message = expect.stringMatching(
      /version 1 was fitted with another coordinator.*fit a new/,
    ) as string;
    const smaller = await open(1, planDecoder(8, 16, 16, 1));
    await expect(smaller.read('1')).rejects.toMatchObject({ code: 'impossible', message });
    await writeFile(join(folder, 'encoder.onnx'), 'another encoder');
    await expect((await open()).read('1')).rejects.toMatchObject({ code: 'impossible', message });
  });

  it('refuses a damaged file with its name, and can delete it', async () => {
    await writeSome(2);
    const whole = await readFile(pathOf('2'));
    for (const length of [0, 4, 100, whole.length - 1]) {
      await writeFile(pathOf('2'), whole.subarray(0, length));
      await expect(versions.read('2')).rejects.toThrow(/^2\.safetensors is no sound safetensors file/);
    }
    await versions.delete('2');
    expect(await numbers()).toEqual(['1']);
  });

  it('says with 503 that a folder cannot be written to, and leaves nothing half', async () => {
    await writeFile(join(folder, 'prompts'), 'a file where the folder should be');
    await expect(versions.write(prompt())).rejects.toMatchObject({ code: 'unavailable' });
    await expect(versions.activate(undefined)).rejects.toMatchObject({ code: 'unavailable' });
    expect((await readdir(folder)).sort()).toEqual(['encoder.onnx', 'prompts']);
  });
});
