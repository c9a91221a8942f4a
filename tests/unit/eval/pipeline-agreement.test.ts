import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adaptArrival } from '#ballast/eval/adapt-arrival.js';
import { openEvaluatedModel, type EvaluatedModel } from '#ballast/eval/evaluated-model.js';
import { runForwardPass, type ForwardPass } from '#ballast/eval/forward-pass.js';
import { LevelDecoder } from '#ballast/eval/pictures.js';
import { closeLame } from '#ballast/adapt/lame.js';
import { UNOBSERVED } from '#ballast/pipeline/batch.js';
import { ModelRegistry } from '#ballast/pipeline/registry.js';
import { ImageDecoder } from '#ballast/runtime/image.js';
import { pino } from 'pino';
import sharp from 'sharp';
import { addModel, imageModelYaml, modelsFolder } from '../../fixtures/model-folder.js';
import { jpeg } from '../../http/support/pictures.js';

const COUNT = 24;
const FORMAT = {
  width: 32,
  height: 24,
  fit: 'cover',
  mean: [0.49, 0.48, 0.44],
  std: [0.2, 0.25, 0.3],
} as const;

describe('LevelDecoder', () => {
  const formats = (['rgb', 'bgr', 'grey'] as const).flatMap((channels) =>
    (['nchw', 'nhwc'] as const).map((layout) => ({ channels, layout })),
  );

  it.each(formats)('makes the served tensor, bit by bit: $channels $layout', async (order) => {
    const format = { ...FORMAT, ...order };
    const served = new ImageDecoder(format);
    const bytes = await jpeg(1, 40);
    const expected = new Float32Array(served.sampleSize);
    await served.decode(bytes, expected, 0, 'picture');
    const decoder = new LevelDecoder(format);
    const { data, dims } = decoder.tensor([await decoder.decode(bytes, 'picture')]);
    expect(data).toEqual(expected);
    expect(dims).toEqual([1, ...served.sampleShape]);
  });

  it.each(formats)('makes of pixels what a PNG of them makes: $channels $layout', async (order) => {
    const format = { ...FORMAT, ...order };
    const decoder = new LevelDecoder(format);
    const data = Uint8Array.from({ length: 32 * 24 * 3 }, (_, i) => (i * 37) % 256);
    const raw = { width: 32, height: 24, channels: 3 } as const;
    const png = await sharp(data, { raw }).png().toBuffer();
    expect(await decoder.levels({ data, width: 32, height: 24 })).toEqual(
      await decoder.decode(png, 'picture'),
    );
  });
});

describe('the measured pipeline', () => {
  let model: EvaluatedModel;
  let registry: ModelRegistry;
  let pass: ForwardPass;
  let files: Buffer[];
  const watched = { onSamples: () => undefined, signal: new AbortController().signal };

  beforeAll(async () => {
    const folder = await modelsFolder();
    await addModel(
      folder,
      'net',
      'resnet-torchscript.onnx',
      `${imageModelYaml('net', 'resnet-torchscript.onnx')}calibration: { temperature: 1.5 }\n`,
    );
    files = await Promise.all(Array.from({ length: COUNT }, (_, i) => jpeg(i)));
    model = await openEvaluatedModel(folder, 'net', 'cpu');
    const decoder = new LevelDecoder(model.input);
    const levels = await Promise.all(files.map((file) => decoder.decode(file, 'picture')));
    const tensorOf = (begin: number, end: number): ReturnType<LevelDecoder['tensor']> =>
      decoder.tensor(levels.slice(begin, end));
    pass = await runForwardPass(model.served, { smoothing: false, prompt: false }, COUNT, tensorOf, watched);
    registry = await ModelRegistry.open({
      directory: folder,
      providers: ['cpu'],
      cores: 1,
      workers: 1,
      threads: 1,
      warmUpMs: 0,
      remoteHosts: [],
      observer: UNOBSERVED,
      log: pino({ level: 'silent' }),
      streamLimits: { maxStreams: 10, maxBytes: 1e8, maxIdleSeconds: 100 },
    });
  });

  afterAll(async () => {
    await model.served.close();
    await registry.close();
    await closeLame();
  });

  it.each([1, 5, 24])('answers as the server does in requests of %d', async (batch) => {
    const order = Uint32Array.from({ length: COUNT }, (_, i) => (i * 7) % COUNT);
    const { probabilities } = await adaptArrival(model.lame, pass, order, batch, watched);
    const served = registry.get('net');
    for (let begin = 0; begin < COUNT; begin += batch) {
      const samples = order.subarray(begin, begin + batch);
      const answer = await served.predict(
        { image: Array.from(samples, (sample) => files[sample]) },
        batch === 1 ? { stream: 'camera' } : {},
      );
      const { data, cols } = answer.probabilities!;
      samples.forEach((sample, row) => {
        for (let col = 0; col < cols; col++) {
          expect(probabilities.data[sample * cols + col]).toBeCloseTo(data[row * cols + col], 4);
        }
      });
    }
    // What was compared is no plain forward pass.
    expect(probabilities.data).not.toEqual(pass.base.data);
  });
});
