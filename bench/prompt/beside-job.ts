import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { startBallast } from '../serve/ballast.js';
import { putLoad } from '../serve/load.js';
import { medianOf, type Measurement } from '../serve/measurement.js';
import { multipartRequest } from '../serve/requests.js';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { formatTable } from '../shift/table.js';

const SECONDS = 4;
const WARM_UP_SECONDS = 1;
const LEAST_SHARE = 0.9;
const MOST_P99 = 2;

/** Two classes are enough to keep a job busy. */
const SHOTS = 16;

/**
 * Measures a server alone and while a job runs in it, turn by turn, with one connection and with 32. Prints
 * throughput and p99 of both.
 * @param model - the model's folder
 * @param rounds - of which the medians are taken
 * @returns whether the throughput stays within a tenth, and p99 within twice
 */
export async function runBesideJob(model: string, rounds: number): Promise<boolean> {
  const models = await mkdtemp(join(tmpdir(), 'ballast-beside-'));
  try {
    const filter = (path: string): boolean => basename(path) !== 'prompts';
    await cp(model, join(models, 'digits'), { recursive: true, filter });
    const server = await startBallast(models);
    try {
      return await measure(`http://127.0.0.1:${server.port}`, server.port, rounds);
    } finally {
      await server.stop();
    }
  } finally {
    await rm(models, { recursive: true });
  }
}

async function measure(url: string, port: number, rounds: number): Promise<boolean> {
  const pictures = await Promise.all(Array.from({ length: 2 * SHOTS }, (_, i) => noise(i)));
  const requests = pictures.map((png) => multipartRequest('/v1/models/digits/predict', png));
  const load = (connections: number): Promise<Measurement> =>
    putLoad({ port, connections, requests, warmUpSeconds: WARM_UP_SECONDS, seconds: SECONDS });
  const lines = [
    ['', 'alone, requests/s', 'beside a job', 'share', 'alone, p99 ms', 'beside a job', 'times'],
  ];
  let met = true;
  let queries = 0;
  for (const connections of [1, 32]) {
    const [alone, beside]: [Measurement[], Measurement[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      alone.push(await load(connections));
      const id = await startJob(url, pictures);
      beside.push(await load(connections));
      queries += await cancelJob(url, id);
    }
    const [one, other] = [medianOf(alone), medianOf(beside)];
    const [rate, rateBeside] = [one.imagesPerSecond, other.imagesPerSecond];
    const [p99, p99Beside] = [one.p99!, other.p99!];
    met &&= rateBeside >= LEAST_SHARE * rate && p99Beside <= MOST_P99 * p99;
    lines.push([
      `${connections} connection${connections === 1 ? '' : 's'}`,
      ...[rate.toFixed(0), rateBeside.toFixed(0), (rateBeside / rate).toFixed(2)],
      ...[p99.toFixed(1), p99Beside.toFixed(1), (p99Beside / p99).toFixed(2)],
    ]);
  }
  process.stdout.write(
    `${formatTable(lines)}\n\n${met ? 'met   ' : 'MISSED'}  throughput at least ${LEAST_SHARE} times, p99 at most ${MOST_P99} times what they are alone; the jobs asked ${queries} queries meanwhile\n`,
  );
  return met;
}

async function startJob(url: string, pictures: readonly Buffer[]): Promise<string> {
  const form = new FormData();
  pictures.forEach((png, i) => {
    form.append('image', new Blob([Uint8Array.from(png)]), 'shot.png');
    form.append('label', String(i % 2));
  });
  const path = '/v1/models/digits/prompts?queries=100000000';
  const answer = await fetch(`${url}${path}`, { method: 'POST', body: form });
  const { id } = (await answer.json()) as { id: string };
  for (;;) {
    const job = (await (await fetch(`${url}/v1/jobs/${id}`)).json()) as { progress?: unknown };
    if (job.progress !== undefined) return id;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function cancelJob(url: string, id: string): Promise<number> {
  const answer = await fetch(`${url}/v1/jobs/${id}`, { method: 'DELETE' });
  const { progress } = (await answer.json()) as { progress: { queries: number } };
  return progress.queries;
}

function noise(seed: number): Promise<Buffer> {
  const random = new SeededRandom(seed);
  const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, () => Math.floor(256 * random.uniform()));
  return sharp(pixels, { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer();
}
