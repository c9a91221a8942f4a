import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface ServeOptions {
  /** `rounds`: throughput against floor and peer; `mixed`: correctness and health beside load. */
  readonly mode: 'rounds' | 'mixed';
  /** Folder of small.onnx and large.onnx. */
  readonly networks: string;
  /** Zip or folder of JPEG files; undefined for made ones. */
  readonly images: string | undefined;
  readonly rounds: number;
  readonly seconds: number;
  /** Seconds for each setting that is tried before the rounds. */
  readonly trySeconds: number;
  /** More arguments of `ballast serve`. */
  readonly ballastArgs: readonly string[];
  /** Folder of models with cifar10, for `mixed`. */
  readonly models: string;
  readonly python: string;
  readonly json: string | undefined;
}

export const USAGE = `Usage: npm run bench:serve -- [options]

Images a second of Ballast, beside onnxruntime and sharp alone (the floor) and a FastAPI server (the peer), in
alternating rounds; medians. Build first (npm run build). The peer needs bench/serve/requirements.txt.

  --mixed             instead: 1,000 single images from 32 connections beside a 64-image LAME request, each compared
                      with its answer alone; and how fast health and metrics answer while a batch takes 3 s
  --networks DIR      small.onnx and large.onnx (default $BALLAST_BENCH_NETWORKS, or a folder under the temporary
                      one); made by models/train/bench_networks.py where they are missing and PYTHON has torch
  --images ZIP|DIR    JPEG files to send (default ../shared/data/cifar10-test.zip where it is, else made ones)
  --rounds N          rounds (default 5)
  --seconds N         seconds of each measurement (default 5)
  --quick             two rounds of 1.5 seconds
  --ballast "ARGS"    more arguments of ballast serve, for instance "--workers 2 --threads 1"
  --models DIR        for --mixed: a folder with the model cifar10 (default models)
  --json FILE         write the figures of every round there too

The Python interpreter of the peer is $PYTHON, or python3.
`;

const CIFAR = '../shared/data/cifar10-test.zip';

/** @throws TypeError or RangeError with a sentence for the user where an option is wrong */
export function readOptions(args: readonly string[]): ServeOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      mixed: { type: 'boolean', default: false },
      networks: { type: 'string' },
      images: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      ballast: { type: 'string', default: '' },
      models: { type: 'string', default: 'models' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  return {
    mode: values.mixed ? 'mixed' : 'rounds',
    networks:
      values.networks ?? process.env['BALLAST_BENCH_NETWORKS'] ?? join(tmpdir(), 'ballast-bench-networks'),
    images: values.images ?? (existsSync(CIFAR) ? CIFAR : undefined),
    rounds: positive('--rounds', values.rounds ?? (values.quick ? '2' : '5')),
    seconds: positive('--seconds', values.seconds ?? (values.quick ? '1.5' : '5')),
    trySeconds: values.quick ? 0.3 : 0.8,
    ballastArgs: values.ballast.split(' ').filter((part) => part !== ''),
    models: values.models,
    python: process.env['PYTHON'] ?? 'python3',
    json: values.json,
  };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`${option}: "${text}" is no number above 0.`);
  return value;
}
