import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corruptionNames } from '#ballast/eval/corruptions/corruption.js';
import { reportSchema, type Report } from '#ballast/eval/report-schema.js';
import { outputOf } from './child-output.js';
import { markdownTable, percent, points } from './markdown-table.js';
import type { PaperOptions } from './options.js';

const SEVERITY = 3;

const STREAMS = [
  { name: 'shuffled', title: 'Shuffled' },
  { name: 'runs:40', title: 'In runs of 40 of one class' },
  { name: 'dirichlet:0.1', title: 'Dirichlet (δ = 0.1), segments of about 64' },
] as const;

/** The ways to adapt: `batch` 1 is a stream, one by one. */
const WAYS = [
  { title: '64 together', method: 'lame', batch: 64 },
  { title: '64 together, `window: auto`', method: 'lame-auto', batch: 64 },
  { title: 'one by one, `stream=`', method: 'lame', batch: 1 },
  { title: 'one by one, `window: auto`', method: 'lame-auto', batch: 1 },
] as const;

type Way = (typeof WAYS)[number];
type StreamName = (typeof STREAMS)[number]['name'];

const CORRUPTED = corruptionNames.map((name) => `${name}:${SEVERITY}`);

/**
 * LAME under the 15 common corruptions (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
 * Corruptions and Perturbations", ICLR 2019) in three orders of arrival, as `ballast eval` measures it.
 * @returns Markdown
 * @throws Error where `ballast eval` fails
 */
export async function lameTable({ data, models, samples, seed }: PaperOptions): Promise<string> {
  const asked = [
    ...['eval', '--model', 'cifar10', '--data', join(data, 'cifar10-test.zip')],
    ...['--conditions', `all:${SEVERITY}`, '--streams', STREAMS.map(({ name }) => name).join(',')],
    ...['--batches', '1,64', '--methods', 'base,lame,lame-auto'],
    ...['--samples', String(samples), '--seed', String(seed)],
  ];
  const out = await mkdtemp(join(tmpdir(), 'ballast-paper-'));
  try {
    await outputOf(['dist/cli.js', ...asked, '--models', models, '--out', out]);
    const report = reportSchema.parse(JSON.parse(await readFile(join(out, 'report.json'), 'utf8')));
    return `\`npx ballast ${asked.join(' ')}\`\n\n${tablesOfReport(report)}`;
  } finally {
    await rm(out, { recursive: true });
  }
}

/**
 * A report of all 15 corruptions as tables: the means, then one for each order of arrival.
 * @param report - with the conditions, streams, sizes of request and methods that lameTable asks for
 * @returns Markdown
 * @throws Error where a cell is missing
 */
export function tablesOfReport(report: Report): string {
  const { samples } = report.data;
  return [
    `Accuracy in per cent of ${samples} test pictures, all classes alike, clean and under each corruption at severity ` +
      `${SEVERITY}; in brackets the gain over the model alone. \`knn\`, k = 5; one by one: with the last ones of the stream; ` +
      `seed ${report.seed}.`,
    meansOf(report),
    ...STREAMS.flatMap(({ name, title }) => [`${title}:`, tableOf(report, name)]),
  ].join('\n\n');
}

function meansOf(report: Report): string {
  const head = ['stream of test pictures', 'model alone', ...WAYS.map(({ title }) => title)];
  const rows = STREAMS.flatMap(({ name, title }) =>
    [
      { pictures: 'corrupted', conditions: CORRUPTED },
      { pictures: 'clean', conditions: ['clean'] },
    ].map(({ pictures, conditions }) => [`${title}, ${pictures}`, ...cellsOf(report, name, conditions)]),
  );
  return markdownTable([head, ...rows]);
}

function tableOf(report: Report, stream: StreamName): string {
  const head = [`severity ${SEVERITY}`, 'model alone', ...WAYS.map(({ title }) => title)];
  const rows = ['clean', ...CORRUPTED].map((condition) => [
    condition.split(':')[0].replaceAll('-', ' '),
    ...cellsOf(report, stream, [condition]),
  ]);
  const mean = [`mean of ${CORRUPTED.length}`, ...cellsOf(report, stream, CORRUPTED)];
  return markdownTable([head, ...rows, mean]);
}

/** The base model's accuracy, and each way's with its gain: means over the conditions. */
function cellsOf(report: Report, stream: StreamName, conditions: readonly string[]): string[] {
  const accuracy = (method: 'base' | Way['method'], batch: number): number =>
    conditions.reduce((sum, condition) => sum + accuracyIn(report, condition, stream, method, batch), 0) /
    conditions.length;
  const base = accuracy('base', 64);
  return [
    percent(base),
    ...WAYS.map(({ method, batch }) => {
      const adapted = accuracy(method, batch);
      return `${percent(adapted)} (${points(adapted - base)})`;
    }),
  ];
}

function accuracyIn(
  { cells }: Report,
  condition: string,
  stream: StreamName,
  method: string,
  batch: number,
): number {
  const found = cells.find(
    (cell) =>
      cell.condition === condition &&
      cell.stream === stream &&
      cell.method === method &&
      cell.batch === batch,
  );
  const value = found?.metrics.accuracy.value;
  if (typeof value === 'number') return value;
  throw new Error(`report.json has no accuracy of ${method}, batch ${batch}, for ${condition}, ${stream}.`);
}
