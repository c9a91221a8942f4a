/** `npx tsx bench/window/main.ts`: `lame.window: auto` beside fixed windows, over kinds of traffic. See USAGE. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { closeLame } from '#ballast/adapt/lame.js';
import { accuracyOf, predictedClasses } from '../shift/accuracy.js';
import { baseAnswers, featuresTensor, type BaseAnswers } from '../shift/base-answers.js';
import { addNoise } from '../shift/noise.js';
import { serveModels } from '../shift/served-models.js';
import { formatTable } from '../shift/table.js';
import { signed } from '../shift/targets.js';
import { encodePngs, readTestImages, type TestImages } from '../shift/test-images.js';
import { readDigits } from '../prompt/shifted-digits.js';
import { arrivalsOf, type Arrival } from './arrivals.js';
import { classifyInWindows, type Requests } from './windowed-stage.js';

const USAGE = `Usage: npx tsx bench/window/main.ts [options]

Percent right of the model alone, with LAME in fixed windows, and with window: auto, for kinds of traffic.

  --data DIR     folder of cifar10-test.zip and mnist/ (default ../shared/data)
  --models DIR   folder of models (default models)
  --model NAME   cifar10, or digits on MNIST (default cifar10)
  --levels LIST  deviations of the noise in grey levels (default 0,28)
  --images N     images of each kind of traffic (default 1200)
  --seed N       of noise and orders (default 1)
`;

const BATCHES = [4, 8, 16, 32, 64, 128, 256];
const WINDOWS = [4, 8, 16, 32, 64];
/** Images a request with window: auto. */
const AUTO_BATCHES = [64, 256];
const BASE_PICTURES = 5000;
const SIDE = 28;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    models: { type: 'string', default: 'models' },
    model: { type: 'string', default: 'cifar10' },
    levels: { type: 'string', default: '0,28' },
    images: { type: 'string', default: '1200' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
const source = join(values.data, values.model === 'digits' ? 'mnist' : 'cifar10-test.zip');
if (values.help) process.stdout.write(USAGE);
else if (!existsSync(source)) process.stdout.write(`Skipped: ${source} is not here.\n`);
else await run();

async function run(): Promise<void> {
  const served = await serveModels(values.models, values.model, ['knn']);
  try {
    const model = served.get('knn');
    const seed = Number(values.seed);
    const images =
      values.model === 'digits' ? await readMnist(source) : await readTestImages(source, model.labels, 500);
    const features = await featuresTensor(model, join(values.models, values.model));
    for (const level of values.levels.split(',').map(Number)) {
      const noisy = images.pictures.map((picture, i) => ({
        ...picture,
        pixels: addNoise(picture.pixels, level, seed * 1_000_003 + i),
      }));
      const base = await baseAnswers(model, await encodePngs(noisy), features);
      const right = accuracyOf(predictedClasses(base.probabilities), images.labels);
      process.stdout.write(`\n${values.model}, noise ${level}: ${right.toFixed(1)} % right alone\n\n`);
      const arrivals = arrivalsOf(images.labels, Number(values.images), seed);
      process.stdout.write(`${await tableOf(base, images.labels, arrivals, BATCHES, AUTO_BATCHES)}\n\n`);
      process.stdout.write(`${await tableOf(base, images.labels, arrivals, WINDOWS, ['stream'])}\n`);
    }
  } finally {
    await served.close();
    await closeLame();
  }
}

/** A line a kind of traffic; for a stream `fixed` are windows, else sizes of requests. */
async function tableOf(
  base: BaseAnswers,
  labels: readonly number[],
  arrivals: readonly Arrival[],
  fixed: readonly number[],
  auto: readonly Requests[],
): Promise<string> {
  const stream = auto.includes('stream');
  const alone = predictedClasses(base.probabilities);
  const lines: string[][] = [];
  for (const { name, images, counts = () => true } of arrivals) {
    const places = [...images.keys()].filter(counts);
    const accuracy = (classes: readonly number[]): number =>
      accuracyOf(
        places.map((place) => classes[place]),
        places.map((place) => labels[images[place]]),
      );
    const own = accuracy(images.map((image) => alone[image]));
    const gains: number[] = [];
    for (const window of fixed) {
      gains.push(accuracy(await classifyInWindows(base, images, window, stream ? 'stream' : window)) - own);
    }
    const best = Math.max(...gains);
    const adapted: string[] = [];
    for (const requests of auto) {
      const gain = accuracy(await classifyInWindows(base, images, 'auto', requests)) - own;
      adapted.push(signed(gain), best > 0.5 ? `${Math.round((100 * gain) / best)} %` : '');
    }
    lines.push([name, own.toFixed(1), ...gains.map(signed), ...adapted]);
  }
  const autos = auto.flatMap((requests) => [stream ? 'auto' : `auto in ${requests}`, 'of best']);
  return formatTable([[stream ? 'stream' : 'requests', 'alone', ...fixed.map(String), ...autos], ...lines]);
}

async function readMnist(folder: string): Promise<TestImages> {
  const { pixels, labels } = await readDigits(folder, 't10k');
  const count = Math.min(labels.length, BASE_PICTURES);
  const pictures = Array.from({ length: count }, (_, i) => {
    const grey = pixels.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
    return {
      pixels: Uint8Array.from({ length: 3 * SIDE * SIDE }, (__, j) => grey[Math.floor(j / 3)]),
      width: SIDE,
      height: SIDE,
    };
  });
  return { pictures, labels: [...labels].slice(0, count) };
}
