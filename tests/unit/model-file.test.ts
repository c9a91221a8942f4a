import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseModelFile, readModelFile } from '#ballast/pipeline/model-file.js';

const GOOD = `name: digits
labels: [zero, one]
inputs:
  image: { kind: image, width: 28, height: 28, channels: grey, mean: [0.5], std: [0.5] }
classifier: { file: digits.onnx }
lame: { affinity: knn, k: 5 }
`;

describe('model.yaml', () => {
  it('fills in every default', () => {
    const config = parseModelFile(GOOD, 'model.yaml');
    expect(config.task).toBe('classification');
    expect(config.classifier).toMatchObject({ file: 'digits.onnx', features: 'auto' });
    expect(config.lame).toMatchObject({ scope: 'request', window: 64, lambda: 1, maxSteps: 100 });
    expect(config.batching).toEqual({ maxBatchSize: 64, maxQueueDelayMs: 0, maxQueueSize: 512 });
  });

  it.each([
    [
      'lame: { affinity: knn',
      'lame: { afinity: knn',
      /^model\.yaml:6: lame\.afinity: .*did you mean "affinity"/,
    ],
    [
      'affinity: knn',
      'affinity: kn',
      /^model\.yaml:6: lame\.affinity: found "kn"; allowed: "knn", "rbf", "linear"/,
    ],
    ['k: 5', 'k: 0', /^model\.yaml:6: lame\.k: found 0; it must be at least 1\./],
    ['width: 28', 'width: wide', /^model\.yaml:4: inputs\.image\.width: found "wide"; .*number/],
    [
      'kind: image',
      'kind: picture',
      /^model\.yaml:4: inputs\.image\.kind: .*allowed: "image", "audio", "tensor"/,
    ],
    ['name: digits', 'name: ../digits', /^model\.yaml:1: name: found "\.\.\/digits"; it must be a name/],
    ['classifier: { file: digits.onnx }', '', /^model\.yaml:1: classifier: found nothing/],
    ['labels: [zero, one]', 'labels: [zero, one', /^model\.yaml:\d: /],
    ['std: [0.5]', 'std: [0]', /^model\.yaml:4: inputs\.image\.std/],
  ])(
    'answers "%s" written as "%s" with file, line, key, what was found and what is allowed',
    (right, wrong, message) => {
      expect(() => parseModelFile(GOOD.replace(right, wrong), 'model.yaml')).toThrow(message);
    },
  );

  it('names every mistake, a line each', () => {
    const text = GOOD.replace('affinity: knn', 'affinity: kn').replace('width: 28', 'width: 0');
    expect(() => parseModelFile(text, 'model.yaml')).toThrow(/:4: inputs.image.width.*\n.*:6: lame.affinity/);
  });

  it.each([
    ['name: digits', 'name: letters', /must be the name of its folder, "digits"/],
    ['file: digits.onnx', 'file: ../secret.onnx', /must be a file inside the model's folder/],
    ['labels: [zero, one]', 'labels: /etc/passwd', /must be a file inside the model's folder/],
    ['labels: [zero, one]', 'labels: none.txt', /none\.txt cannot be read/],
  ])('refuses a folder whose model.yaml has "%s" as "%s"', async (right, wrong, message) => {
    const folder = await mkdtemp(join(tmpdir(), 'ballast-'));
    await writeFile(join(folder, 'model.yaml'), GOOD.replace(right, wrong));
    await expect(readModelFile(folder, 'digits', '1')).rejects.toThrow(message);
  });
});
