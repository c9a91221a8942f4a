import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { importModel } from '#ballast/pipeline/import-model.js';
import { modelConfigSchema, type ModelConfig } from '#ballast/pipeline/model-config.js';
import { fixture, fixturePath } from '../fixtures/onnx-fixtures.js';
import { writeModel } from '../fixtures/onnx-writer.js';

let folder: string;
let modelsDir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ballast-import-'));
  modelsDir = join(folder, 'models');
});
afterEach(() => rm(folder, { recursive: true }));

/** Imports a file and reads what was written, as the server will. */
async function imported(
  file: string,
  name?: string,
): Promise<{ yaml: string; config: ModelConfig; summary: string }> {
  const { directory, summary } = await importModel({ file, modelsDir, name });
  const yaml = await readFile(join(directory, 'model.yaml'), 'utf8');
  return { yaml, config: modelConfigSchema.parse(parse(yaml)), summary };
}

async function importedSketch(sketch: Parameters<typeof writeModel>[0]): ReturnType<typeof imported> {
  const file = join(folder, 'sketch.onnx');
  await writeFile(file, writeModel(sketch));
  return imported(file);
}

/** A classifier of one input whose samples have this shape. */
function classifier(dims: readonly number[], elementType = 1): Parameters<typeof writeModel>[0] {
  return {
    nodes: [
      { op: 'Flatten', inputs: ['pixels'], outputs: ['flat'] },
      { op: 'MatMul', inputs: ['flat', 'w'], outputs: ['y'] },
    ],
    inputs: { pixels: [-1, ...dims] },
    types: { pixels: elementType },
    outputs: { y: [-1, 7] },
    weights: { w: { dims: [5, 7] } },
  };
}

describe('importing a classifier of pictures', () => {
  it('writes a folder that can be served, and says what it guessed', async () => {
    const labels = join(folder, 'names.txt');
    await writeFile(labels, 'a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj\n');
    const file = fixturePath('vit-external.onnx');
    const { name, directory, files, summary } = await importModel({ file, modelsDir, labels });
    expect(name).toBe('vit-external');
    expect(files).toEqual(['vit-external.onnx.data', 'vit-external.onnx', 'labels.txt', 'model.yaml']);
    expect((await readdir(directory)).sort()).toEqual([...files].sort());
    expect(await readFile(join(directory, 'vit-external.onnx'))).toEqual(fixture('vit-external.onnx'));
    const yaml = await readFile(join(directory, 'model.yaml'), 'utf8');
    expect(modelConfigSchema.parse(parse(yaml))).toMatchObject({
      name: 'vit-external',
      task: 'classification',
      labels: 'labels.txt',
      inputs: {
        image: { kind: 'image', width: 32, height: 32, fit: 'fill', mean: [0.4914, 0.4822, 0.4465] },
      },
      classifier: { file: 'vit-external.onnx', logits: 'scores', features: 'auto' },
      lame: { affinity: 'knn', k: 5, scope: 'request' },
    });
    expect(yaml).toContain('# A guess: the mean and deviation of CIFAR-10');
    expect(yaml).toContain('features: auto   # found: select [N, 24]');
    for (const line of [
      'logits    scores, 10 classes',
      'features  select [N, 24]',
      'ballast serve --models',
    ]) {
      expect(summary).toContain(line);
    }
  });

  it('names the tensor where it is not called image, and the layout where channels are last', async () => {
    const { config, summary } = await imported(fixturePath('nhwc.onnx'));
    expect(config.inputs).toMatchObject({
      image: { tensor: 'input:0', width: 96, height: 64, layout: 'nhwc', fit: 'cover' },
    });
    expect(summary).toContain('samples run one at a time');
  });

  it.each([
    [[3, -1, -1], { width: 224, height: 224, mean: [0.485, 0.456, 0.406] }],
    [[1, 28, 28], { channels: 'grey', fit: 'fill', mean: [0.1307] }],
    [[64, 64, 1], { channels: 'grey', layout: 'nhwc', mean: [0.5] }],
    [[3, 299, 299], { width: 299, fit: 'cover', layout: 'nchw' }],
  ])('guesses how pictures become samples of %j', async (dims, image) => {
    const { config } = await importedSketch(classifier(dims));
    expect(config.inputs).toMatchObject({ image: { kind: 'image', tensor: 'pixels', ...image } });
  });

  it('leaves LAME out where no features were found', async () => {
    const { config } = await imported(fixturePath('resnet-int8-qoperator.onnx'));
    expect(config).toMatchObject({ task: 'classification', classifier: { features: 'none' } });
    expect(config.lame).toBeUndefined();
  });
});

describe('importing another model', () => {
  it('writes the inputs as tensors without the batch axis', async () => {
    const { config } = await imported(fixturePath('slow.onnx'));
    expect(config).toMatchObject({
      task: 'raw',
      inputs: {
        INPUT: { kind: 'tensor', shape: [16], dtype: 'fp32' },
        TRIPS: { kind: 'tensor', shape: [1], dtype: 'int64' },
      },
      classifier: { file: 'slow.onnx' },
    });
  });

  it.each([
    [classifier([-1, 16], 8), { pixels: { shape: [-1, 16], dtype: 'bytes' } }],
    [classifier([3, 8, 8], 2), { pixels: { shape: [3, 8, 8], dtype: 'uint8' } }],
    [classifier([5, 8, 8]), { pixels: { shape: [5, 8, 8], dtype: 'fp32' } }],
    [classifier([4], 10), { pixels: { shape: [4], dtype: 'fp16' } }],
  ])('knows every element type', async (sketch, inputs) => {
    const { config } = await importedSketch(sketch);
    expect(config).toMatchObject({ task: 'raw', inputs });
  });

  it('quotes names that YAML would read as something else', async () => {
    const odd = 'on: #{x}\n"\u2028';
    const { config, yaml } = await importedSketch({
      nodes: [{ op: 'MatMul', inputs: [odd, 'w'], outputs: ['true'] }],
      inputs: { [odd]: [-1, 5], null: [-1, 2] },
      outputs: { true: [-1, 7] },
      weights: { w: { dims: [5, 7] } },
    });
    expect(Object.keys(config.inputs)).toEqual([odd, 'null']);
    expect(yaml.split('\n').every((line) => /^(#|\S+:| {2}\S|$)/.test(line))).toBe(true);
  });
});

describe('what import refuses', () => {
  const file = fixturePath('resnet-dynamo.onnx');

  it('overwrites only when forced', async () => {
    await importModel({ file, modelsDir, name: 'm' });
    await expect(importModel({ file, modelsDir, name: 'm' })).rejects.toThrow(
      /exists already.*--name.*--force/,
    );
    await writeFile(join(modelsDir, 'm', 'README.md'), 'kept');
    await importModel({ file, modelsDir, name: 'm', force: true });
    expect((await readdir(join(modelsDir, 'm'))).sort()).toEqual([
      'README.md',
      'model.yaml',
      'resnet-dynamo.onnx',
    ]);
  });

  it('takes a file that lies in its place already', async () => {
    await mkdir(join(modelsDir, 'here'), { recursive: true });
    await copyFile(file, join(modelsDir, 'here', 'net.onnx'));
    await importModel({ file: join(modelsDir, 'here', 'net.onnx'), modelsDir, name: 'here' });
    expect(await readFile(join(modelsDir, 'here', 'net.onnx'))).toEqual(await readFile(file));
  });

  it('checks the name, or makes one', async () => {
    for (const name of ['../up', '', '.hidden', 'a b', 'a/b']) {
      await expect(importModel({ file, modelsDir, name })).rejects.toMatchObject({ code: 'invalid-input' });
    }
    await mkdir(join(folder, 'my net!'));
    for (const [source, name] of [
      ['my net!/model.onnx', 'my-net-'],
      ['_odd (1).onnx', 'odd-1-'],
    ]) {
      await symlink(file, join(folder, source));
      expect((await importModel({ file: join(folder, source), modelsDir })).name).toBe(name);
    }
  });

  it('checks the labels before it writes anything', async () => {
    const labels = join(folder, 'short.txt');
    await writeFile(labels, 'a\nb\n');
    await expect(importModel({ file, modelsDir, labels })).rejects.toThrow(/2 labels.*10 classes/);
    await expect(importModel({ file, modelsDir, labels: join(folder, 'none.txt') })).rejects.toThrow(
      /labels cannot/,
    );
    await expect(readdir(modelsDir)).rejects.toThrow();
  });

  it('misses external data before it writes anything', async () => {
    await copyFile(fixturePath('vit-external.onnx'), join(folder, 'alone.onnx'));
    const importing = importModel({ file: join(folder, 'alone.onnx'), modelsDir });
    await expect(importing).rejects.toThrow(/vit-external\.onnx\.data, which cannot be read/);
    await expect(readdir(modelsDir)).rejects.toThrow();
  });
});
