import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BallastError } from '#ballast/errors.js';
import { externalDataFiles } from '#ballast/runtime/onnx/external-data.js';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { prepareModel } from '#ballast/runtime/onnx/prepare-model.js';
import { fixture, fixturePath } from '../fixtures/onnx-fixtures.js';
import { writeModel } from '../fixtures/onnx-writer.js';

let folder: string;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'ballast-onnx-'))));
afterAll(() => rm(folder, { recursive: true }));

function errorOf(read: () => unknown): BallastError {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(BallastError);
    return error as BallastError;
  }
  throw new Error('nothing was thrown');
}

describe('a file that is no ONNX model', () => {
  const resnet = fixture('resnet-torchscript.onnx');
  const text = (content: string) => Buffer.from(content, 'latin1');
  it.each([
    ['empty', new Uint8Array(), /empty/],
    ['cut in half', resnet.subarray(0, resnet.length / 2), /ends too early|ends in the middle/],
    ['cut after the graph', resnet.subarray(0, resnet.length - 4), /cut off/],
    ['text', text('name,label\ncat,1\n'), /text, not an ONNX model/],
    [
      'a Git LFS pointer',
      text('version https://git-lfs.github.com/spec/v1\noid sha256:00\n'),
      /git lfs pull/,
    ],
    ['a web page', text('<!DOCTYPE html><html></html>'), /web page/],
    ['a PyTorch checkpoint', text('PK\x03\x04\x14\x00\x00\x00'), /torch\.onnx\.export/],
    ['a TensorFlow Lite model', text('\x1c\x00\x00\x00TFL3\x00\x00'), /tf2onnx/],
    ['safetensors', text('\x10\x00\x00\x00\x00\x00\x00\x00{"a":{}}'), /safetensors/],
    ['another protobuf', text('\x08\x02\x12\x03abc'), /not an ONNX model/],
    ['a picture', text('\xff\xd8\xff\xe0\x00\x10JFIF\x00'), /not an ONNX model|ends too early/],
    ['zeros', new Uint8Array(64), /not an ONNX model/],
  ])('is told apart: %s', (_, bytes, message) => {
    const error = errorOf(() => inspectModel(bytes));
    expect(error.code).toBe('invalid-model');
    expect(error.message).toMatch(message);
  });

  it('is an error with its path where it cannot be read', async () => {
    await expect(prepareModel(join(folder, 'nowhere.onnx'), [])).rejects.toThrow(
      /nowhere\.onnx cannot be read/,
    );
    await expect(prepareModel(folder, [])).rejects.toMatchObject({ code: 'invalid-model' });
  });
});

describe('external data', () => {
  const model = (location: string): Uint8Array =>
    writeModel({
      nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
      inputs: { x: [-1, 2] },
      outputs: { y: [-1, 2] },
      weights: { w: { dims: [2, 2], location } },
    });

  it('is listed, with folders below the model', () => {
    expect(externalDataFiles(fixture('vit-external.onnx'))).toEqual(['vit-external.onnx.data']);
    expect(externalDataFiles(fixture('vit-dynamo.onnx'))).toEqual([]);
    expect(externalDataFiles(model('./weights/part..1.bin'))).toEqual(['weights/part..1.bin']);
  });

  it.each([
    '../secret',
    'weights/../../secret',
    '..\\secret',
    '/etc/passwd',
    '\\\\host\\share',
    'C:\\secret',
    '',
    '.',
    '*/_ORT_MEM_ADDR_/*',
    'a\0b',
  ])('must stay in the folder: %j', (location) => {
    const { code, message } = errorOf(() => externalDataFiles(model(location)));
    expect(code).toBe('invalid-model');
    expect(message).toContain('no file in the model');
    expect(() => inspectModel(model(location))).toThrow(message);
  });

  it('is found by onnxruntime though the changed model has no path', async () => {
    const path = fixturePath('vit-external.onnx');
    const { model, sessionOptions } = await prepareModel(path, ['select']);
    expect(model).toBeInstanceOf(Uint8Array);
    const session = await InferenceSession.create(model as Uint8Array, {
      intraOpNumThreads: 1,
      ...sessionOptions,
    });
    expect(session.outputNames).toEqual(['scores', 'select']);
    await session.release();
  });

  it('is missed by onnxruntime, not read as zeros, where it is gone', async () => {
    const path = join(folder, 'alone.onnx');
    await copyFile(fixturePath('vit-external.onnx'), path);
    const { model, sessionOptions } = await prepareModel(path, ['select']);
    await expect(InferenceSession.create(model as Uint8Array, sessionOptions)).rejects.toThrow(
      /vit-external/,
    );
  });
});

describe('prepareModel', () => {
  it('hands over the path where the file can be loaded as it is', async () => {
    const path = fixturePath('vit-external.onnx');
    expect(await prepareModel(path, ['scores'])).toEqual({ model: path, sessionOptions: {} });
  });

  it('gives the same model whether or not there is room around it for surgery', async () => {
    const path = join(folder, 'many.onnx');
    const nodes = Array.from({ length: 3000 }, (_, i) => ({
      op: 'Relu',
      inputs: [i === 0 ? 'x' : `layer_with_a_rather_long_name_${i - 1}`],
      outputs: [i === 2999 ? 'y' : `layer_with_a_rather_long_name_${i}`],
    }));
    await writeFile(path, writeModel({ nodes, inputs: { x: [-1, 2] }, outputs: { y: [-1, 2] } }));
    const names = nodes.slice(0, -1).map(({ outputs }) => outputs[0]);
    for (const count of [1, 100, names.length]) {
      const { model } = await prepareModel(path, names.slice(0, count));
      const outputs = inspectModel(model as Uint8Array).outputs.map(({ name }) => name);
      expect(outputs).toEqual(['y', ...names.slice(0, count)]);
    }
  });
});
