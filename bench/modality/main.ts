/** `npm run bench:modality`: what scales and shifts win back where a modality is missing, and what they cost. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { createServer } from '#ballast/server/app.js';
import { ModulationSets } from '#ballast/adapt/modulation.js';
import { insertModulation } from '#ballast/runtime/onnx/insert-modulation.js';
import { readSafetensors, writeSafetensors } from '#ballast/runtime/safetensors.js';
import { Session } from '#ballast/runtime/session.js';
import type { Tensor } from '#ballast/runtime/tensor.js';
import { median } from '../serve/measurement.js';
import { formatTable } from '../shift/table.js';
import { noisyPairs, type Pair } from './noisy-pairs.js';

const MODALITIES = ['image', 'audio'] as const;
type Modality = (typeof MODALITIES)[number];

const PAIRS_A_REQUEST = 50;
const LEAST_WON_BACK = 0.5;
const MOST_SHARE = 0.01;
const MOST_COST = 1.15;
const BATCH = 32;

const USAGE = `Usage: npm run bench:modality -- [--data DIR] [--model DIR] [--seed N]

Accuracy on noisy pairs of spoken and written digits with both modalities and with either alone: fed zeros, modulated,
and by a network that was trained for that modality alone; through the server. And the cost of a modulated pass.

  --data DIR    folder of mnist/ and fsdd.zip (default ../shared/data)
  --model DIR   the model's folder (default models/spoken)
  --seed N      of noise and pairs (default 1)
`;

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'models/spoken' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await run(values.data, values.model, Number(values.seed));

async function run(data: string, model: string, seed: number): Promise<void> {
  const pairs = await noisyPairs(data, seed);
  const models = await copies(model);
  const server = await createServer({ models, port: 0 }, pino({ level: 'silent' }));
  try {
    const { url } = await server.listen();
    const of = (name: string, sent: readonly Modality[]): Promise<number> => accuracy(url, name, sent, pairs);
    const [both, plainBoth] = [await of('spoken', MODALITIES), await of('plain', MODALITIES)];
    const lines = [
      ['per cent right', 'fed zeros', 'modulated', 'trained for it alone', 'of the drop won back'],
    ];
    lines.push(['both', percent(plainBoth), percent(both), '', '']);
    let met = both === plainBoth;
    for (const modality of MODALITIES) {
      const plain = await of('plain', [modality]);
      const modulated = await of('spoken', [modality]);
      const alone = await of(`${modality}-alone`, [modality]);
      const wonBack = (modulated - plain) / (both - plain);
      met &&= wonBack >= LEAST_WON_BACK;
      lines.push([
        `${modality} only`,
        ...[plain, modulated, alone].map(percent),
        `${Math.round(wonBack * 100)} %`,
      ]);
    }
    process.stdout.write(`${pairs.length} pairs of speakers that were not learnt from, seed ${seed}\n\n`);
    process.stdout.write(`${formatTable(lines)}\n\n`);
    const { share, ratio } = await cost(model);
    met &&= share < MOST_SHARE && ratio <= MOST_COST;
    process.stdout.write(
      `A set has ${(share * 100).toFixed(2)} % of the network's parameters (under ${MOST_SHARE * 100} wanted).\n` +
        `A modulated pass of ${BATCH} takes ${ratio.toFixed(3)} times a plain one (${MOST_COST} allowed).\n\n${met ? 'met' : 'MISSED'}\n`,
    );
    process.exitCode = met ? 0 : 1;
  } finally {
    await server.close();
    await rm(models, { recursive: true });
  }
}

/** The model as it is; with scales of 1 and shifts of 0, which is to be fed zeros; and each modality's own network. */
async function copies(model: string): Promise<string> {
  const models = await mkdtemp(join(tmpdir(), 'ballast-modality-'));
  const yaml = await readFile(join(model, 'model.yaml'), 'utf8');
  const named = (name: string): string => yaml.replace(/^name: .*$/m, `name: ${name}`);
  for (const name of ['spoken', 'plain']) {
    await cp(model, join(models, name), { recursive: true });
    await writeFile(join(models, name, 'model.yaml'), named(name));
  }
  const { tensors, metadata } = readSafetensors(
    await readFile(join(model, 'modulation.safetensors')),
    'sets',
  );
  const identity = [...tensors].map(([key, { shape, data }]) => {
    const value = key.endsWith('.gamma') ? 1 : 0;
    return [key, { shape, data: new Float32Array(data.length).fill(value) }] as const;
  });
  const bytes = writeSafetensors({ tensors: new Map(identity), metadata });
  await writeFile(join(models, 'plain', 'modulation.safetensors'), bytes);
  for (const modality of MODALITIES) {
    const name = `${modality}-alone`;
    await mkdir(join(models, name));
    await cp(join(model, 'labels.txt'), join(models, name, 'labels.txt'));
    await cp(join(model, `${name}.onnx`), join(models, name, 'classifier.onnx'));
    const other = MODALITIES.find((one) => one !== modality)!;
    const alone = named(name)
      .replace(new RegExp(`^  ${other}:.*\n(    .*\n)*`, 'm'), '')
      .replace(/^modulation: .*$/m, '');
    await writeFile(join(models, name, 'model.yaml'), alone);
  }
  return models;
}

async function accuracy(
  url: string,
  model: string,
  sent: readonly Modality[],
  pairs: readonly Pair[],
): Promise<number> {
  let right = 0;
  for (let begin = 0; begin < pairs.length; begin += PAIRS_A_REQUEST) {
    const some = pairs.slice(begin, begin + PAIRS_A_REQUEST);
    const form = new FormData();
    for (const pair of some) {
      for (const modality of sent)
        form.append(modality, new Blob([Uint8Array.from(pair[modality])]), modality);
    }
    const answer = await fetch(`${url}/v1/models/${model}/predict?top=1`, { method: 'POST', body: form });
    const body = (await answer.json()) as { predictions?: { label: string }[]; detail?: string };
    if (body.predictions === undefined) throw new Error(`${model}: ${body.detail ?? answer.status}`);
    right += body.predictions.filter(({ label }, i) => label === some[i].label).length;
  }
  return right / pairs.length;
}

/** Share of a set in the network's parameters, and the time of a modulated pass as a share of a plain one's. */
async function cost(model: string): Promise<{ share: number; ratio: number }> {
  const file = join(model, 'classifier.onnx');
  const sets = ModulationSets.read(await readFile(join(model, 'modulation.safetensors')), 'sets');
  const { layers, share } = insertModulation(await readFile(file), { layers: sets.layers });
  const running = { providers: ['cpu' as const], threads: 1, spinMicroseconds: 20, expose: [] };
  const plain = await Session.open({ file, ...running });
  const modulated = await Session.open({ file, ...running, modulate: sets.layers });
  const inputs: Record<string, Tensor> = {};
  for (const { name, dims } of plain.inputs) {
    const shape = [BATCH, ...dims.slice(1)];
    const size = shape.reduce((product, dim) => product * dim, 1);
    inputs[name] = { type: 'float32', dims: shape, data: new Float32Array(size).fill(0.5) };
  }
  const arrived = Array.from({ length: BATCH }, (_, i) => [MODALITIES[i % 2]]);
  const more = { ...inputs, ...sets.inputsFor(layers, arrived) };
  const time = async (session: Session, feeds: Record<string, Tensor>): Promise<number> => {
    const begin = performance.now();
    await session.run(feeds, ['logits']);
    return performance.now() - begin;
  };
  const ratios: number[] = [];
  for (let round = 0; round < 220; round++) {
    const [one, other] = [await time(plain, inputs), await time(modulated, more)];
    if (round >= 20) ratios.push(other / one);
  }
  return { share, ratio: median(ratios) };
}

function percent(share: number): string {
  return (share * 100).toFixed(1);
}
