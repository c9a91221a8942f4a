import { existsSync } from 'node:fs';
import { cp, mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { AnsweringProcess } from './answering-process.js';
import { startBallast } from './ballast.js';
import { runMixed, SINGLES } from './mixed.js';
import { findNetworks, writeModel } from './networks.js';
import type { ServeOptions } from './options.js';
import { readPictures } from './pictures.js';
import type { ResponsiveQuestion } from './responsive-process.js';
import { MOST_MS, type ResponsiveResult } from './responsive.js';
import { SLOW_ROWS, SLOW_WIDTH, writeSlowModel } from './slow-model.js';

const SLOW_SECONDS = 3.5;

/**
 * Checks what must hold while others load the server: answers stay what they are alone, nothing is lost, and probes
 * are answered at once. Prints the figures.
 * @returns whether all of it holds
 */
export async function runBesideLoad(options: ServeOptions): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'ballast-bench-'));
  try {
    const model = await writeAdaptedModel(options, directory);
    await writeSlow(join(directory, 'slow'));
    const pictures = await readPictures(options.images, SINGLES);
    const server = await startBallast(directory, options.ballastArgs);
    try {
      const mixed = await runMixed(server.port, model, 10, pictures);
      print(
        `${verdict(mixed.met)}  ${mixed.singles} single images of ${model} beside ${mixed.groups} LAME requests of 64: ` +
          `at most ${mixed.worstSingle.toExponential(1)} from their answers alone, ` +
          `the LAME requests ${mixed.worstGroup.toExponential(1)} (1e-4 allowed)`,
      );
      print(`Meanwhile a forward pass took ${mixed.samplesPerPass.toFixed(1)} samples on average.`);
      const responsive = await askWhileSlow(server.port);
      print(
        `A batch took ${responsive.batchSeconds.toFixed(1)} s; meanwhile, slowest answers (${MOST_MS} ms allowed):`,
      );
      for (const [path, { ms, count }] of responsive.byPath) {
        print(`${verdict(ms < MOST_MS)}  ${path}: ${ms.toFixed(1)} ms, of ${count}`);
      }
      const { ms, count } = responsive.bare;
      print(`      a bare node:http server beside: ${ms.toFixed(1)} ms, of ${count}`);
      return mixed.met && responsive.met;
    } finally {
      await server.stop();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function askWhileSlow(port: number): Promise<ResponsiveResult> {
  const prober = new AnsweringProcess<ResponsiveQuestion, ResponsiveResult>(
    new URL('responsive-process.ts', import.meta.url),
  );
  try {
    return await prober.ask({ port, model: 'slow' });
  } finally {
    prober.stop();
  }
}

/** The shipped classifier where it is, else the small network with LAME on; its name. */
async function writeAdaptedModel(options: ServeOptions, directory: string): Promise<string> {
  const shipped = join(options.models, 'cifar10');
  if (existsSync(join(shipped, 'classifier.onnx'))) {
    await cp(shipped, join(directory, 'cifar10'), { recursive: true });
    return 'cifar10';
  }
  const file = findNetworks(options.networks, options.python).get('small')!;
  await writeModel(directory, 'small', file, { lame: { affinity: 'knn', k: 5 } });
  return 'small';
}

async function writeSlow(folder: string): Promise<void> {
  await mkdir(folder);
  await writeSlowModel(join(folder, 'slow.onnx'), SLOW_SECONDS);
  const config = {
    name: 'slow',
    task: 'raw',
    inputs: { x: { kind: 'tensor', shape: [SLOW_WIDTH] } },
    classifier: { file: 'slow.onnx' },
    batching: { maxBatchSize: SLOW_ROWS },
  };
  await writeFile(join(folder, 'model.yaml'), stringify(config));
}

function verdict(met: boolean): string {
  return met ? 'PASS' : 'MISS';
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
