/**
 * How fast Ballast serves the mixture of a standard and a robust classifier, beside onnxruntime alone running both, in
 * alternating rounds; medians.
 * Usage: npm run bench:mixture -- [--models models] [--model cifar10] [--rounds 5] [--seconds 3] [--images ZIP|DIR]
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readModelFile } from '#ballast/pipeline/model-file.js';
import { AnsweringProcess } from '../serve/answering-process.js';
import { IMAGE, SAMPLE_SIZE } from '../serve/cell.js';
import { startBallast } from '../serve/ballast.js';
import type { LoadQuestion } from '../serve/load-process.js';
import type { Measurement } from '../serve/measurement.js';
import { readPictures } from '../serve/pictures.js';
import { multipartRequest, tensorRequest } from '../serve/requests.js';
import { decodeSamples } from '../serve/samples.js';
import type { FloorQuestion } from './floor-process.js';

const TARGET = 0.85;
const TOGETHER = 8;
/** Before the rounds, a kind of request: JavaScript is compiled by how often it ran, and requests are few here. */
const WARM_UP_SECONDS = 15;
const KINDS = ['tensor', 'tensors', 'jpeg'] as const;
type Kind = (typeof KINDS)[number];
const CIFAR = '../shared/data/cifar10-test.zip';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'models' },
    model: { type: 'string', default: 'cifar10' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    images: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const { config, files } = await readModelFile(join(values.models, values.model), values.model, '1');
if (files.robust === undefined || files.classifier === undefined)
  throw new Error(`${values.model} has no robust classifier.`);
const both = [files.classifier, files.robust];
const pictures = await readPictures(values.images ?? (existsSync(CIFAR) ? CIFAR : undefined));
const samples = await decodeSamples(pictures);
const names = { input: Object.values(config.inputs)[0]?.tensor ?? 'image', output: 'probabilities' };

const cores = availableParallelism();
const lanes = Array.from(
  { length: cores },
  () => new AnsweringProcess<FloorQuestion, number>(new URL('./floor-process.ts', import.meta.url)),
);
const load = new AnsweringProcess<LoadQuestion, Measurement | undefined>(
  new URL('../serve/load-process.ts', import.meta.url),
);
const server = await startBallast(values.models);
try {
  const ways = [
    { lanes: 1, threads: cores },
    { lanes: cores, threads: 1 },
  ].flatMap((way) => [8, 16, 32, 64].map((batch) => ({ ...way, batch })));
  const floorOf = async (way: (typeof ways)[number], time: number): Promise<number> => {
    const { threads, batch } = way;
    const asked = lanes
      .slice(0, way.lanes)
      .map((lane) => lane.ask({ files: both, threads, batch, seconds: time }));
    return (await Promise.all(asked)).reduce((sum, rate) => sum + rate, 0);
  };
  const tried: { way: (typeof ways)[number]; rate: number }[] = [];
  for (const way of ways) {
    await floorOf(way, 0);
    tried.push({ way, rate: await floorOf(way, 1) });
  }
  const { way } = tried.reduce((best, other) => (other.rate > best.rate ? other : best));
  const put = async (name: Kind, time: number): Promise<number> => {
    const { port } = server;
    const settings = { port, connections: 32, warmUpSeconds: 0.5, seconds: time } as const;
    const measured = await load.ask({ kind: 'put', name, ...settings });
    return measured!.imagesPerSecond * (name === 'tensors' ? TOGETHER : 1);
  };
  for (const kind of KINDS) {
    await load.ask({ kind: 'keep', name: kind, requests: mixedRequests(kind) });
    // The search has warmed the floor; a server of JavaScript compiles what its requests need while it takes them.
    await put(kind, WARM_UP_SECONDS);
  }
  const rates: Record<'floor' | Kind, number[]> = { floor: [], tensor: [], tensors: [], jpeg: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    rates.floor.push(await floorOf(way, seconds));
    for (const name of KINDS) rates[name].push(await put(name, seconds));
  }
  const floor = median(rates.floor);
  process.stdout.write(
    `onnxruntime alone, both classifiers, ${way.lanes} x ${way.threads} threads, batch ${way.batch}: ${floor.toFixed(0)} images/s\n`,
  );
  let met = true;
  for (const [name, what] of [
    ['tensors', `binary tensors, ${TOGETHER} pictures a request`],
    ['tensor', 'binary tensors, one picture a request'],
    ['jpeg', 'JPEG files, one a request, decoding included'],
  ] as const) {
    const share = median(rates[name]) / floor;
    met &&= share >= TARGET;
    process.stdout.write(
      `${share >= TARGET ? 'met   ' : 'MISSED'} Ballast, ${what}, 32 connections: ${median(rates[name]).toFixed(0)} images/s, ${(share * 100).toFixed(0)} % (${TARGET * 100} wanted)\n`,
    );
  }
  process.exitCode = met ? 0 : 1;
} finally {
  await server.stop();
  for (const child of [...lanes, load]) child.stop();
}

/** Requests that want both classifiers, whatever model.yaml says of those that do not say. */
function mixedRequests(kind: Kind): Buffer[] {
  if (kind === 'jpeg') {
    const path = `/v1/models/${values.model}/predict?smoothing=on`;
    return pictures.map((picture) => multipartRequest(path, picture));
  }
  const path = `/v2/models/${values.model}/infer`;
  const count = kind === 'tensors' ? TOGETHER : 1;
  return Array.from({ length: Math.floor(samples.length / count) }, (_, i) => {
    const data = new Float32Array(count * SAMPLE_SIZE);
    samples.slice(i * count, (i + 1) * count).forEach((sample, row) => {
      data.set(sample, row * SAMPLE_SIZE);
    });
    const shape = [count, 3, IMAGE.height, IMAGE.width];
    return tensorRequest(path, names.input, names.output, shape, data, { smoothing: true, lame: false });
  });
}

function median(rates: readonly number[]): number {
  return rates.toSorted((a, b) => a - b)[Math.floor(rates.length / 2)];
}
