import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fitSmoothing, type FitSmoothingOptions } from '#ballast/pipeline/fit-smoothing.js';
import { readModelFile } from '#ballast/pipeline/model-file.js';
import { fitNonlinear, type LabelledLogits } from '#ballast/robust/fit-nonlinear.js';
import { transformLogits } from '#ballast/robust/mixing.js';
import { argmax, softmax } from '#ballast/runtime/matrix.js';
import { addModel, modelsFolder } from '../fixtures/model-folder.js';
import { copyFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { jpeg } from '../http/support/pictures.js';

/** Seeded logits of a classifier that is right on `right` of its pictures, by a margin of about `margin`. */
function classifier(
  labels: Uint32Array,
  right: number,
  margin: number,
  seed: number,
): LabelledLogits['standard'] {
  let state = seed;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const cols = 10;
  const data = Float32Array.from({ length: labels.length * cols }, random);
  labels.forEach((label, row) => {
    const answer = random() < right ? label : (label + 1 + Math.floor(random() * 9)) % cols;
    data[row * cols + answer] += margin * random() * (answer === label ? 1 : 0.4);
  });
  return { data, rows: labels.length, cols };
}

describe('fitNonlinear', () => {
  const labels = Uint32Array.from({ length: 1000 }, (_, i) => i % 10);
  const clean = { labels, standard: classifier(labels, 0.95, 20, 1), robust: classifier(labels, 0.75, 8, 2) };
  const attacked = { labels, standard: classifier(labels, 0, 20, 3), robust: classifier(labels, 0.5, 6, 4) };

  it('wins back clean accuracy and keeps the wanted share under any answer of the standard classifier', () => {
    const fit = fitNonlinear(clean, attacked, 0.95);
    expect(fit.clean.mixed).toBeGreaterThan(fit.clean.robust + 0.02);
    const transformed = softmax(transformLogits(attacked.robust, fit.nonlinearity));
    let [right, sure] = [0, 0];
    labels.forEach((label, row) => {
      if (argmax(attacked.robust, row) !== label) return;
      right++;
      const [first, second] = transformed.data.slice(row * 10, row * 10 + 10).sort((a, b) => b - a);
      if (first - second >= (1 - fit.alpha) / fit.alpha) sure++;
    });
    expect(sure / right).toBeGreaterThanOrEqual(0.95);
    expect(fit.attacked.mixed).toBeGreaterThanOrEqual(0.95 * fit.attacked.robust);
  });

  it('keeps more where it must keep more', () => {
    const [loose, strict] = [0.8, 0.99].map((kept) => fitNonlinear(clean, attacked, kept));
    expect(strict.clean.mixed).toBeLessThanOrEqual(loose.clean.mixed);
  });

  it('refuses attacked pictures of which the robust classifier knows none', () => {
    const wrong = Float32Array.from({ length: 10_000 }, (_, i) =>
      Number(i % 10 === (Math.floor(i / 10) + 1) % 10),
    );
    const lost = { ...attacked, robust: { data: wrong, rows: 1000, cols: 10 } };
    expect(() => fitNonlinear(clean, lost, 0.9)).toThrow(/none of the attacked pictures right/);
  });

  it('reports how far it is, up to the end', () => {
    const shares: number[] = [];
    fitNonlinear(clean, attacked, 0.9, (share) => shares.push(share));
    expect(shares.at(-1)).toBe(1);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
  });
});

describe('ballast fit --smoothing', () => {
  const yaml = `# A comment that stays.
name: mixed
labels: [ant, bee, cat, dog, elk, fox, gnu, hen, ibis, jay]
inputs: { image: { kind: image, width: 32, height: 32 } }
classifier: { file: resnet-torchscript.onnx } # the standard one
robust: { file: robust.onnx }
smoothing: { mixing: mixing.onnx, alpha: { bias: 0.5, scale: 0.4 }, robustScale: 0.5 }
`;
  let modelsDir: string;
  let pictures: string;

  beforeAll(async () => {
    modelsDir = await modelsFolder();
    await addModel(modelsDir, 'mixed', 'resnet-torchscript.onnx', yaml);
    const robust = fileURLToPath(new URL('../fixtures/onnx/squeezenet-torchscript.onnx', import.meta.url));
    await copyFile(robust, join(modelsDir, 'mixed', 'robust.onnx'));
    pictures = await mkdtemp(join(tmpdir(), 'ballast-pictures-'));
    for (const [i, label] of [
      'ant',
      'bee',
      'cat',
      'dog',
      'elk',
      'fox',
      'gnu',
      'hen',
      'ibis',
      'jay',
    ].entries()) {
      await mkdir(join(pictures, label));
      for (let n = 0; n < 3; n++) await writeFile(join(pictures, label, `${n}.jpg`), await jpeg(i * 10 + n));
    }
  });

  const run = (more: Partial<FitSmoothingOptions> = {}): ReturnType<typeof fitSmoothing> =>
    fitSmoothing({
      modelsDir,
      model: 'mixed',
      clean: pictures,
      attacked: pictures,
      kept: 0.9,
      provider: 'cpu',
      ...more,
    });

  it('writes what it found to model.yaml, and leaves the rest of it as it was', async () => {
    const { fit, summary } = await run();
    const text = await readFile(join(modelsDir, 'mixed', 'model.yaml'), 'utf8');
    expect(text).toContain('# A comment that stays.');
    expect(text).toContain('# the standard one');
    const { config } = await readModelFile(join(modelsDir, 'mixed'), 'mixed', '1');
    expect(config.smoothing).toMatchObject({ mode: 'nonlinear', alpha: fit.alpha, robustScale: 1 });
    expect(config.smoothing?.mixing).toBeUndefined();
    expect(config.smoothing?.nonlinear?.power).toBeCloseTo(fit.nonlinearity.power, 4);
    expect(summary).toMatch(/clean .* 30 pictures/);
  });

  it.each<[string, () => Partial<FitSmoothingOptions>, RegExp]>([
    ['a share above 1', () => ({ kept: 1.5 }), /--keep is 1.5/],
    ['a folder that is none', () => ({ clean: '/nowhere' }), /\/nowhere cannot be read/],
    [
      'a folder without classes',
      () => ({ clean: join(pictures, 'ant') }),
      /has no pictures; it must have a folder for each class/,
    ],
    [
      'a folder of other classes',
      () => ({ attacked: modelsDir }),
      /mixed is named after no class of the model; its classes are ant, bee/,
    ],
    ['a model that is none', () => ({ model: 'nobody' }), /nobody.model.yaml cannot be read/],
  ])('refuses %s', async (_, more, message) => {
    await expect(run(more())).rejects.toThrow(message);
  });

  it('refuses a model without a robust classifier', async () => {
    await addModel(modelsDir, 'alone', 'resnet-torchscript.onnx');
    await expect(run({ model: 'alone' })).rejects.toThrow(
      /robust and smoothing go together.*robust is missing/,
    );
  });
});
