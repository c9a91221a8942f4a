/** `npm run bench:paper`: the tables of this project's own models, as Markdown. See options.ts. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '#ballast/errors.js';
import { outputOf } from './child-output.js';
import { lameTable } from './lame-table.js';
import { readOptions, USAGE, type PaperOptions, type TableName } from './options.js';
import { markdownOfPrinted } from './printed-tables.js';
import { smoothingTable } from './smoothing-table.js';

/** One table, or several that belong together. */
interface Section {
  readonly title: string;
  /** What it reads, inside the folder of data. */
  readonly files: readonly string[];
  /** The model that it is about. */
  readonly model: string;
  readonly measure: (given: PaperOptions) => Promise<string>;
}

const SECTIONS: Readonly<Record<TableName, Section>> = {
  lame: {
    title: 'LAME under common corruptions',
    files: ['cifar10-test.zip'],
    model: 'cifar10',
    measure: lameTable,
  },
  smoothing: {
    title: 'Accurate and robust at once, under the Square attack',
    files: ['cifar10-test.zip'],
    model: 'cifar10',
    measure: smoothingTable,
  },
  prompts: {
    title: 'Prompts for shifted digits',
    files: ['mnist'],
    model: 'digits',
    measure: ({ data, models, seed }) =>
      printedBy(
        'prompt',
        ['--quick', '--seeds', String(seed)],
        ['--data', join(data, 'mnist'), '--model', join(models, 'digits')],
      ),
  },
  modalities: {
    title: 'A missing modality',
    files: ['mnist', 'fsdd.zip'],
    model: 'spoken',
    measure: ({ data, models, seed }) =>
      printedBy('modality', ['--seed', String(seed)], ['--data', data, '--model', join(models, 'spoken')]),
  },
  deepfake: {
    title: 'Real or fake faces',
    files: ['faces.zip'],
    model: 'deepfake',
    measure: ({ data, models, seed }) =>
      printedBy(
        'deepfake',
        ['--quick', '--seed', String(seed)],
        ['--data', join(data, 'faces.zip'), '--models', models],
      ),
  },
};

/** Single fits, and times of parts: the table has the one, and each section tells its own of the other. */
const LEFT_OUT = /, seed \d+: [\d.]+ -> |^\d+ s in all\.$/;

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else await run(options);

async function run(given: PaperOptions): Promise<void> {
  const begin = performance.now();
  for (const name of given.only) {
    const { title, files, model, measure } = SECTIONS[name];
    const absent = [...files.map((file) => join(given.data, file)), join(given.models, model, 'model.yaml')]
      .filter((path) => !existsSync(path))
      .join(' and ');
    if (absent !== '') {
      process.stderr.write(`${name}: there is no ${absent}; name the folders by --data and --models.\n`);
      process.exitCode = 1;
      continue;
    }
    process.stderr.write(`${name} …\n`);
    const start = performance.now();
    try {
      const measured = await measure(given);
      process.stdout.write(`### ${title}\n\n${measured}\n\n${timeSince(start)}.\n\n`);
    } catch (error) {
      // The other tables are worth having without this one.
      process.stderr.write(`${name}: ${messageOf(error)}\n`);
      process.exitCode = 1;
    }
  }
  process.stdout.write(`${timeSince(begin)} in all.\n`);
}

/**
 * What another benchmark of this folder prints, as Markdown.
 * @param args - to be told with the command
 * @param paths - where its data and models lie
 */
async function printedBy(bench: string, args: readonly string[], paths: readonly string[]): Promise<string> {
  const printed = await outputOf(['--import', 'tsx', `bench/${bench}/main.ts`, ...args, ...paths]);
  return `\`npm run bench:${bench} -- ${args.join(' ')}\`\n\n${markdownOfPrinted(printed, LEFT_OUT)}`;
}

function timeSince(start: number): string {
  const seconds = Math.round((performance.now() - start) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
