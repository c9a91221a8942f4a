/** `npm run bench:prompt`: what a fitted prompt gains on shifted digits. See options.ts. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { SeededRandom } from '#ballast/runtime/seeded-random.js';
import { formatTable } from '../shift/table.js';
import { runBesideJob } from './beside-job.js';
import { readOptions, USAGE, type PromptBenchOptions } from './options.js';
import { ServedDigits, type EncodedPicture, type Encoder } from './served-digits.js';
import {
  pickPerClass,
  PLAIN_SET,
  readDigits,
  SHIFTED_SETS,
  SIDE,
  type Canvases,
  type Digits,
  type ShiftedSet,
} from './shifted-digits.js';

interface Method {
  readonly name: string;
  readonly encoder: Encoder;
  readonly options: Readonly<Record<string, string | number>>;
}

/** Without momentum steps are shorter, so that plain SPSA gets a step length of its own: the best of 0.001, 0.003, 0.01. */
const METHODS: readonly Method[] = [
  { name: 'BlackVIP', encoder: 'coordinator', options: {} },
  { name: 'plain SPSA', encoder: 'coordinator', options: { correction: 'spsa', a: 0.003 } },
  { name: 'universal', encoder: 'universal', options: {} },
];

/** One fit. All accuracies in per cent. */
interface Row {
  readonly set: string;
  readonly method: string;
  readonly seed: number;
  readonly base: number;
  readonly prompted: number;
  /** What requests get from then on: prompted, or without a prompt where that does not help. */
  readonly served: number;
  readonly queries: number;
  readonly seconds: number;
}

const LEAST_GAIN = 10;
const MOST_LOSS = 1;

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else if (options.beside) process.exitCode = (await runBesideJob(options.model, options.rounds)) ? 0 : 1;
else if (options.write !== undefined) await write(options, options.write);
else await run(options);

async function run(given: PromptBenchOptions): Promise<void> {
  const begin = performance.now();
  const [train, test] = await Promise.all([readDigits(given.data, 'train'), readDigits(given.data, 't10k')]);
  const served = await ServedDigits.start(given.model);
  const rows: Row[] = [];
  try {
    const plain = await served.accuracy('coordinator', 'off', await testPictures(PLAIN_SET, test, given));
    process.stdout.write(
      `plain digits, without a prompt: ${percent(plain * 100)} right; ${given.shots} shots a class, ${given.queries} queries a fit, ${given.perClass * 10} test pictures\n\n`,
    );
    for (const set of SHIFTED_SETS) {
      const pictures = await testPictures(set, test, given);
      const base = 100 * (await served.accuracy('coordinator', 'off', pictures));
      for (const seed of given.seeds) {
        const shots = await shotPictures(set, train, given.shots, seed);
        for (const { name, encoder, options: own } of METHODS) {
          const fitted = await served.fit(encoder, shots, { queries: given.queries, seed, ...own });
          const prompted = 100 * (await served.accuracy(encoder, fitted.version, pictures));
          const row: Row = {
            ...{ set: set.name, method: name, seed, base, prompted },
            served: fitted.active ? prompted : base,
            queries: fitted.queries,
            seconds: fitted.seconds,
          };
          rows.push(row);
          process.stdout.write(
            `${set.name}, ${name}, seed ${seed}: ${percent(base)} -> ${percent(prompted)}${fitted.active ? '' : ' (not active)'}, ${Math.round(fitted.seconds)} s\n`,
          );
        }
      }
    }
  } finally {
    await served.close();
  }
  const met = judge(rows);
  process.stdout.write(`\n${tableOf(rows)}\n\n${met.lines.join('\n')}\n`);
  process.stdout.write(`\n${Math.round((performance.now() - begin) / 1000)} s in all.\n`);
  if (given.json !== undefined)
    await writeFile(given.json, JSON.stringify({ plain: rows, met: met.met }, null, 2));
  process.exitCode = met.met ? 0 : 1;
}

function testPictures(
  set: ShiftedSet,
  test: Digits,
  { perClass }: PromptBenchOptions,
): Promise<EncodedPicture[]> {
  return draw(set, test, perClass, 0, true);
}

function shotPictures(
  set: ShiftedSet,
  train: Digits,
  shots: number,
  seed: number,
): Promise<EncodedPicture[]> {
  return draw(set, train, shots, seed, false);
}

async function draw(
  set: ShiftedSet,
  digits: Digits,
  perClass: number,
  seed: number,
  isTest: boolean,
): Promise<EncodedPicture[]> {
  const indices = pickPerClass(digits, perClass, new SeededRandom(seed, 1));
  return encode(await set.draw(digits, indices, new SeededRandom(seed, 2), isTest));
}

function encode({ pixels, labels }: Canvases): Promise<EncodedPicture[]> {
  const size = SIDE * SIDE * 3;
  return Promise.all(
    Array.from(labels, async (label, i) => ({
      label: String(label),
      png: await sharp(pixels.subarray(i * size, (i + 1) * size), {
        raw: { width: SIDE, height: SIDE, channels: 3 },
      })
        .png()
        .toBuffer(),
    })),
  );
}

/** A line for each set, with the mean over seeds and, behind it, the least and the greatest. */
function tableOf(rows: readonly Row[]): string {
  const lines = SHIFTED_SETS.map(({ name }) => {
    const own = rows.filter(({ set }) => set === name);
    const cells = METHODS.flatMap((method) => {
      const found = own.filter((row) => row.method === method.name);
      const prompted = found.map((row) => row.prompted);
      const span = `${percent(mean(prompted))} (${percent(Math.min(...prompted))}-${percent(Math.max(...prompted))})`;
      return [span, percent(mean(found.map((row) => row.served)))];
    });
    return [name, percent(own[0].base), ...cells];
  });
  const head = ['per cent right', 'no prompt', ...METHODS.flatMap(({ name }) => [name, 'served'])];
  return formatTable([head, ...lines]);
}

/** Whether BlackVIP does what it must. */
function judge(rows: readonly Row[]): { met: boolean; lines: string[] } {
  const own = rows.filter(({ method }) => method === 'BlackVIP');
  const gains = SHIFTED_SETS.map(({ name }) => {
    const found = own.filter(({ set }) => set === name);
    return mean(found.map(({ served, base }) => served - base));
  });
  const lifted = gains.filter((gain) => gain >= LEAST_GAIN).length;
  const worst = Math.min(...own.map(({ served, base }) => served - base));
  return {
    met: lifted >= 2 && worst >= -MOST_LOSS,
    lines: [
      `${lifted >= 2 ? 'met   ' : 'MISSED'}  sets that gain at least ${LEAST_GAIN} points: ${lifted} of ${gains.length} (2 wanted)`,
      `${worst >= -MOST_LOSS ? 'met   ' : 'MISSED'}  the worst of all active versions: ${worst.toFixed(1)} points (-${MOST_LOSS} allowed)`,
    ],
  };
}

/** Writes pictures as `<set>/shots/<class>/NNN.png` and `<set>/test/<class>/NNN.png`. */
async function write({ data, shots, seeds }: PromptBenchOptions, folder: string): Promise<void> {
  const [train, test] = await Promise.all([readDigits(data, 'train'), readDigits(data, 't10k')]);
  for (const set of SHIFTED_SETS) {
    const name = set.name.toLowerCase().replaceAll(/[^a-z0-9.]+/g, '-');
    const parts = {
      shots: await shotPictures(set, train, shots, seeds[0]),
      test: await draw(set, test, 20, 0, true),
    };
    for (const [part, pictures] of Object.entries(parts)) {
      for (const [i, { png, label }] of pictures.entries()) {
        await mkdir(join(folder, name, part, label), { recursive: true });
        await writeFile(join(folder, name, part, label, `${String(i).padStart(3, '0')}.png`), png);
      }
    }
    process.stdout.write(`${join(folder, name)}\n`);
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(value: number): string {
  return value.toFixed(1);
}
