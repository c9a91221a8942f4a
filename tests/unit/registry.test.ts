import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { UNOBSERVED, type BatchResult } from '#ballast/pipeline/batch.js';
import { ModelRegistry, type RegistryOptions } from '#ballast/pipeline/registry.js';
import type { Tensor } from '#ballast/runtime/tensor.js';
import { addModel, imageModelYaml, modelsFolder } from '../fixtures/model-folder.js';

const open: ModelRegistry[] = [];

async function openRegistry(
  directory: string,
  options: Partial<RegistryOptions> = {},
): Promise<ModelRegistry> {
  const registry = await ModelRegistry.open({
    directory,
    providers: ['cpu'],
    cores: 1,
    workers: 1,
    threads: 1,
    warmUpMs: 200,
    remoteHosts: [],
    observer: UNOBSERVED,
    log: pino({ level: 'silent' }),
    streamLimits: { maxStreams: 100, maxBytes: 1e7, maxIdleSeconds: 60 },
    ...options,
  });
  open.push(registry);
  return registry;
}

afterAll(async () => {
  await Promise.all(open.map((registry) => registry.close()));
});

/** `count` samples of seeded noise that differ from each other. */
function noise(count: number, seed = 1): Tensor {
  let state = seed;
  const data = Float32Array.from({ length: count * 3072 }, () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 30 - 1;
  });
  return { type: 'float32', dims: [count, 3, 32, 32], data };
}

const copyOf = ({ data, ...rest }: Tensor): Tensor => ({ ...rest, data: (data as Float32Array).slice() });

describe('ModelRegistry', () => {
  it.each([
    'resnet-torchscript',
    'resnet-dynamo',
    'vit-torchscript',
    'vit-dynamo',
    'vit-external',
    'vit-int8-dynamic',
    'resnet-fp16-dynamo',
    'resnet-int8-qdq',
    'mobilenet-dynamo',
    'mobilenet-torchscript',
    'squeezenet-dynamo',
  ])('serves %s as it is, features found, adapted by LAME', async (fixture) => {
    const folder = await modelsFolder();
    await addModel(folder, 'net', `${fixture}.onnx`);
    const registry = await openRegistry(folder);
    const result = await registry.get('net').infer({ image: noise(8) });
    expect(result.lame).toMatchObject({ scope: 'request', samples: 8 });
    expect(result.lame!.iterations).toBeGreaterThan(1);
    const { data, rows, cols } = result.probabilities!;
    expect([rows, cols]).toEqual([8, 10]);
    for (let row = 0; row < rows; row++) {
      const sum = data.subarray(row * cols, (row + 1) * cols).reduce((total, value) => total + value, 0);
      expect(sum).toBeCloseTo(1, 4);
    }
    expect([...data]).not.toEqual([...result.base!.data]);
  });

  it('answers a request the same alone and among others, with LAME inside the request alone', async () => {
    const folder = await modelsFolder();
    await addModel(folder, 'net', 'resnet-dynamo.onnx');
    const model = (await openRegistry(folder)).get('net');
    const requests = Array.from({ length: 12 }, (_, i) => noise(1 + (i % 5) * 7, i + 1));
    const alone: BatchResult[] = [];
    for (const image of requests) alone.push(await model.infer({ image: copyOf(image) }));
    const together = await Promise.all(requests.map((image) => model.infer({ image: copyOf(image) })));
    together.forEach((result, i) => {
      result.probabilities!.data.forEach((value, j) => {
        expect(Math.abs(value - alone[i].probabilities!.data[j])).toBeLessThan(1e-4);
      });
    });
  });

  it('adapts the samples of a stream with those before them, whoever sends them when', async () => {
    const folder = await modelsFolder();
    await addModel(
      folder,
      'net',
      'resnet-dynamo.onnx',
      imageModelYaml('net', 'resnet-dynamo.onnx', 'lame: { window: 6 }'),
    );
    const registry = await openRegistry(folder);
    const model = registry.get('net');
    const all = noise(6);
    const together = await model.infer({ image: copyOf(all) });
    const last = [];
    for (let i = 0; i < 6; i++) {
      const image = {
        ...all,
        dims: [1, 3, 32, 32],
        data: (all.data as Float32Array).slice(i * 3072, (i + 1) * 3072),
      };
      last.push(model.infer({ image }, { stream: 'cam' }));
    }
    const results = await Promise.all(last);
    expect(results.map(({ lame }) => lame!.samples)).toEqual([1, 2, 3, 4, 5, 6]);
    results[5].probabilities!.data.forEach((value, i) => {
      expect(Math.abs(value - together.probabilities!.data[50 + i])).toBeLessThan(1e-4);
    });
    expect(registry.streams.describe('cam')).toMatchObject([{ model: 'net/1', samples: 6 }]);
    const next = await model.infer({ image: noise(1, 9) }, { stream: 'cam' });
    expect(next.lame).toMatchObject({ scope: 'stream', samples: 7 });
    expect(registry.streams.describe('cam')).toMatchObject([{ samples: 6 }]);
  });

  it('lists a model with a mistake and serves the others', async () => {
    const folder = await modelsFolder();
    await addModel(folder, 'good', 'resnet-dynamo.onnx');
    await addModel(
      folder,
      'typo',
      'resnet-dynamo.onnx',
      imageModelYaml('typo', 'resnet-dynamo.onnx', 'lame: { afinity: knn }'),
    );
    await addModel(folder, 'half', 'resnet-dynamo.onnx');
    const file = join(folder, 'half', 'resnet-dynamo.onnx');
    await writeFile(file, (await readFile(file)).subarray(0, 15_000));
    await addModel(
      folder,
      'labels',
      'resnet-dynamo.onnx',
      imageModelYaml('labels', 'resnet-dynamo.onnx', 'labels: [a, b]'),
    );
    await addModel(
      folder,
      'size',
      'resnet-dynamo.onnx',
      imageModelYaml('size', 'resnet-dynamo.onnx').replace('width: 32', 'width: 64'),
    );
    const registry = await openRegistry(folder);
    const reasons = new Map(registry.index().map(({ name, state, reason }) => [name, `${state} ${reason}`]));
    expect(reasons.get('good')).toBe('READY ');
    expect(reasons.get('typo')).toMatch(
      /UNAVAILABLE .*model\.yaml:4: lame\.afinity.*did you mean "affinity"/,
    );
    expect(reasons.get('half')).toMatch(/UNAVAILABLE .*cut/);
    expect(reasons.get('labels')).toMatch(/UNAVAILABLE .*2 labels.*10 classes/);
    expect(reasons.get('size')).toMatch(/UNAVAILABLE .*\[3, 32, 64\].*\[N, 3, 32, 32\]/);
    expect(() => registry.get('typo')).toThrow(/not ready/);
    expect(() => registry.get('../../etc/passwd')).toThrow(/There is no model/);
    await expect(registry.load('../../etc')).rejects.toMatchObject({ code: 'unknown-model' });
    await expect(registry.get('good').infer({ image: noise(1) })).resolves.toMatchObject({ count: 1 });
  });

  it('reloads while requests run: those in flight finish on the old model, a broken reload changes nothing', async () => {
    const folder = await modelsFolder();
    await addModel(folder, 'net', 'resnet-dynamo.onnx');
    const registry = await openRegistry(folder);
    const before = registry.get('net');
    const running = Array.from({ length: 30 }, (_, i) => before.infer({ image: noise(16, i) }));
    await addModel(folder, 'net', 'vit-dynamo.onnx');
    await registry.load('net');
    expect(await Promise.all(running)).toHaveLength(30);
    expect(registry.get('net')).not.toBe(before);
    await expect(before.infer({ image: noise(1) })).rejects.toMatchObject({ code: 'unavailable' });
    await writeFile(join(folder, 'net', 'model.yaml'), 'name: net\nnonsense: 1\n');
    await expect(registry.load('net')).rejects.toMatchObject({ code: 'invalid-model' });
    await expect(registry.get('net').infer({ image: noise(1) })).resolves.toMatchObject({ count: 1 });
    await registry.unload('net');
    expect(() => registry.get('net')).toThrow(/unloaded/);
  });

  it('keeps versions apart and answers from the highest', async () => {
    const folder = await modelsFolder();
    await addModel(folder, 'net', 'resnet-dynamo.onnx');
    await addModel(folder, 'net/3', 'vit-dynamo.onnx');
    const registry = await openRegistry(folder);
    expect(registry.get('net').version).toBe('3');
    expect(registry.get('net', '1').version).toBe('1');
    expect(() => registry.get('net', '2')).toThrow(/no version "2"; it has 1, 3/);
    await rm(join(folder, 'net', '3'), { recursive: true });
    await registry.load('net');
    expect(registry.get('net').version).toBe('1');
  });

  it('tries a version whose remote is away again, alone, one try at a time, and says so once', async () => {
    let tries = 0;
    const away = createServer((_, res) => {
      tries++;
      res.writeHead(503).end();
    });
    await new Promise<void>((resolve) => away.listen(0, '127.0.0.1', resolve));
    const host = `127.0.0.1:${(away.address() as AddressInfo).port}`;
    const folder = await modelsFolder();
    await addModel(folder, 'net', 'resnet-dynamo.onnx');
    const remote = `{ url: "http://${host}/v2/models/net", retries: 0 }`;
    const yaml = imageModelYaml('net', 'resnet-dynamo.onnx').replace('{ file: resnet-dynamo.onnx }', remote);
    await addModel(folder, 'net/2', 'resnet-dynamo.onnx', yaml);
    const lines: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => lines.push(line) });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true });
    try {
      const registry = await openRegistry(folder, { remoteHosts: [host], log });
      const askedForMore = (): Promise<void> => expect(registry.load('net')).rejects.toThrow('503');
      expect(registry.index()).toMatchObject([{ state: 'READY' }, { version: '2', state: 'UNAVAILABLE' }]);
      expect(tries).toBe(1);
      const local = registry.get('net', '1');
      await vi.advanceTimersByTimeAsync(15_000);
      await vi.waitFor(() => {
        expect(tries).toBe(2);
      });
      await vi.waitFor(() => {
        expect(registry.index()[1].state).toBe('UNAVAILABLE');
      });
      expect(registry.get('net', '1') === local).toBe(true);
      for (let ask = 0; ask < 3; ask++) await askedForMore();
      expect(tries).toBe(5);
      await vi.advanceTimersByTimeAsync(15_000);
      // Comes after whatever has begun by itself.
      await askedForMore();
      expect(tries).toBe(7);
      expect(lines).toHaveLength(1);
    } finally {
      vi.useRealTimers();
      away.close();
    }
  });
});
