import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { driftReference } from '#ballast/adapt/feature-drift.js';
import {
  installReference,
  readReference,
  withReference,
  writeReference,
} from '#ballast/pipeline/drift-reference.js';
import { parseModelFile, readModelFile } from '#ballast/pipeline/model-file.js';
import { TrafficMonitor } from '#ballast/pipeline/traffic-monitor.js';
import { GaussianNoise } from '#ballast/runtime/gaussian-noise.js';
import { writeSafetensors } from '#ballast/runtime/safetensors.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

function normal(rows: number, cols: number, seed: number, shift = 0): Matrix {
  const noise = new GaussianNoise(seed);
  return { data: Float32Array.from({ length: rows * cols }, () => noise.next() + shift), rows, cols };
}

/** Probabilities that are sure of one class each, in turn. */
function sure(rows: number, classes: number, of: (row: number) => number): Matrix {
  const data = new Float32Array(rows * classes);
  for (let row = 0; row < rows; row++) data[row * classes + of(row)] = 1;
  return { data, rows, cols: classes };
}

const reference = driftReference(normal(400, 8, 1), { seed: 1, window: 64 });

function monitorOf(mistakes: string[], given: typeof reference | undefined = reference): TrafficMonitor {
  const error = (_: unknown, sentence: string): void => void mistakes.push(sentence);
  return new TrafficMonitor('digits', '1', given, { error });
}

describe('the monitor of the traffic', () => {
  it('reads diversity and drift off requests, in later turns of the event loop', async () => {
    const mistakes: string[] = [];
    const monitor = monitorOf(mistakes);
    expect(monitor.read()).toEqual({ diversity: undefined, drift: undefined });
    monitor.add({ base: sure(32, 4, (row) => row % 4), features: normal(32, 8, 2) });
    expect(monitor.read()).toEqual({ diversity: undefined, drift: undefined });
    await sleep(50);
    expect(monitor.read()).toEqual({ diversity: expect.closeTo(1, 6) as number, drift: undefined });
    monitor.add({ base: sure(32, 4, (row) => row % 4), features: normal(32, 8, 3) });
    await sleep(50);
    expect(monitor.read().drift).toBeLessThan(1.5);
    for (let i = 0; i < 2; i++) {
      monitor.add({ base: sure(32, 4, () => 0), features: normal(32, 8, 4 + i, 3) });
    }
    await sleep(50);
    expect(monitor.read().drift).toBeGreaterThan(5);
    expect(monitor.read().diversity).toBeLessThan(0.8);
    expect(mistakes).toEqual([]);
  });

  it('looks at 32 samples of a request, one of each part', async () => {
    const monitor = monitorOf([], undefined);
    // Of 64 classes in order, one of each neighbouring pair.
    monitor.add({ base: sure(64, 64, (row) => row) });
    await sleep(50);
    expect(monitor.read().diversity).toBeCloseTo(0.5, 6);
  });

  it('looks at 1024 samples in one go and at 256 a second after that', async () => {
    let clock = 0;
    const monitor = new TrafficMonitor('digits', '1', undefined, { error: () => undefined }, () => clock);
    const addMany = async (requests: number, label: number): Promise<void> => {
      for (let i = 0; i < requests; i++) monitor.add({ base: sure(32, 2, () => label) });
      await sleep(50);
    };
    await addMany(32, 0);
    await addMany(100, 1);
    expect(monitor.read().diversity).toBeCloseTo(0.5, 6);
    clock += 1000;
    await addMany(100, 1);
    const left = (1 - 2 / 257) ** 256;
    const entropy = -left * Math.log(left) - (1 - left) * Math.log(1 - left);
    expect(monitor.read().diversity).toBeCloseTo(Math.exp(entropy) / 2, 6);
  });

  it('tells once that features do not fit the reference, and goes on with the diversity', async () => {
    const mistakes: string[] = [];
    const monitor = monitorOf(mistakes);
    for (let i = 0; i < 5; i++) {
      monitor.add({ base: sure(32, 2, (row) => row % 2), features: normal(32, 9, i) });
      await sleep(20);
    }
    expect(mistakes).toEqual([expect.stringMatching(/9 numbers a sample and the reference 8/)]);
    expect(monitor.read()).toEqual({ diversity: expect.closeTo(1, 6) as number, drift: undefined });
  });

  it('takes requests without probabilities or features, and arrays that were handed on', async () => {
    const mistakes: string[] = [];
    const monitor = monitorOf(mistakes);
    const gone = normal(4, 8, 1);
    monitor.add({});
    monitor.add({ base: sure(4, 2, () => 0), features: gone });
    structuredClone(gone.data, { transfer: [gone.data.buffer as ArrayBuffer] });
    monitor.add({ base: sure(4, 2, () => 0) });
    await sleep(30);
    expect(monitor.read().diversity).toBeCloseTo(0.5, 6);
    expect(mistakes).toEqual([]);
  });
});

describe('the file of a reference', () => {
  const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'ballast-reference-'));
  const MODEL = `# The digits.
name: digits
labels: [zero, one]
inputs: { image: { kind: image, width: 28, height: 28 } }
classifier: { file: digits.onnx }
`;

  it('gives back what was written, to the last digit', async () => {
    const path = join(await folder(), 'reference.safetensors');
    await writeReference(path, reference);
    expect(await readReference(path)).toEqual(reference);
  });

  it('is named in model.yaml, whose comments stay', async () => {
    const parent = await folder();
    await writeFile(join(parent, 'model.yaml'), MODEL);
    await installReference(parent, reference);
    const text = await readFile(join(parent, 'model.yaml'), 'utf8');
    expect(text).toContain('# The digits.');
    expect(withReference(text)).toBe(text);
    expect((await readdir(parent)).sort()).toEqual(['model.yaml', 'reference.safetensors']);
    const { files } = await readModelFile(parent, 'digits', '1');
    expect(files.reference).toBe(join(parent, 'reference.safetensors'));
  });

  it.each([
    ['monitor: { refrence: a }', /^model\.yaml:6: monitor\.refrence: .*did you mean "reference"/m],
    ['monitor: {}', /^model\.yaml:6: monitor\.reference: found nothing/m],
  ])('is asked for by "%s" with a mistake, which is told', (line, message) => {
    expect(() => parseModelFile(`${MODEL}${line}\n`, 'model.yaml')).toThrow(message);
  });

  it('must lie in the folder of the model', async () => {
    const parent = await folder();
    await writeFile(join(parent, 'model.yaml'), `${MODEL}monitor: { reference: ../a.safetensors }\n`);
    await expect(readModelFile(parent, 'digits', '1')).rejects.toThrow(
      /monitor\.reference: .*inside the model's folder/,
    );
  });

  it.each([
    [
      'no safetensors',
      Buffer.from('nothing of the kind'),
      /is no reference for drift: .*no sound safetensors/,
    ],
    [
      'other numbers',
      writeSafetensors({ tensors: new Map(), metadata: { features: '8', bandwidth: '-1' } }),
      /metadata is wrong at "bandwidth"/,
    ],
    [
      'other tensors',
      writeSafetensors({
        tensors: new Map([['mean', { shape: [3], data: new Float64Array(3) }]]),
        metadata: { features: '8', bandwidth: '1', seed: '1', samples: '9', window: '4', threshold: '1' },
      }),
      /"mean" must be F64 with an even number/,
    ],
  ])('is refused where it holds %s', async (_, bytes, message) => {
    const path = join(await folder(), 'reference.safetensors');
    await writeFile(path, bytes);
    await expect(readReference(path)).rejects.toMatchObject({ code: 'invalid-model' });
    await expect(readReference(path)).rejects.toThrow(message);
  });

  it('is missed with a sentence', async () => {
    const path = join(await folder(), 'reference.safetensors');
    await expect(readReference(path)).rejects.toThrow(
      /reference\.safetensors cannot be read: .*monitor out of/,
    );
  });
});
