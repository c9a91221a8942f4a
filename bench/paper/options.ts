import { parseArgs } from 'node:util';

/** The tables, in the order in which they are printed. */
export const TABLES = ['lame', 'smoothing', 'prompts', 'modalities', 'deepfake'] as const;
export type TableName = (typeof TABLES)[number];

/** What the command line asks for. */
export interface PaperOptions {
  readonly only: readonly TableName[];
  /** Folder of cifar10-test.zip, mnist/, fsdd.zip and faces.zip. */
  readonly data: string;
  /** Folder of models. */
  readonly models: string;
  /** Pictures under each corruption. */
  readonly samples: number;
  /** Pictures for clean accuracy beside attacks, how many of them are attacked, and questions about each. */
  readonly clean: number;
  readonly attacked: number;
  readonly queries: number;
  readonly seed: number;
}

export const USAGE = `Usage: npm run bench:paper -- [options]

The tables of this project's own models, through the served pipeline, as Markdown: LAME under common corruptions, the
trade-off of smoothing under the Square attack, prompts, missing modalities, deepfakes. Under 15 minutes on two cores.

  --only LIST     of ${TABLES.join(', ')} (default all)
  --data DIR      folder of cifar10-test.zip, mnist/, fsdd.zip and faces.zip (default ../shared/data)
  --models DIR    folder of models (default models)
  --samples N     pictures under each corruption (default 1200: 3 runs of 40 of each class)
  --clean N       pictures for clean accuracy beside the attack (default 2000)
  --attacked N    pictures that are attacked (default 100)
  --queries N     questions of the attack about a picture (default 300)
  --seed N        of pictures, orders, corruptions and attacks (default 1)
`;

/** @throws TypeError or RangeError with a sentence for the user where an option is wrong */
export function readOptions(args: readonly string[]): PaperOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: TABLES.join(',') },
      data: { type: 'string', default: '../shared/data' },
      models: { type: 'string', default: 'models' },
      samples: { type: 'string', default: '1200' },
      clean: { type: 'string', default: '2000' },
      attacked: { type: 'string', default: '100' },
      queries: { type: 'string', default: '300' },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const asked = values.only.split(',').map((name) => toTable(name.trim()));
  return {
    only: TABLES.filter((name) => asked.includes(name)),
    data: values.data,
    models: values.models,
    samples: toCount('--samples', values.samples, 10),
    clean: toCount('--clean', values.clean, 10),
    attacked: toCount('--attacked', values.attacked, 10),
    queries: toCount('--queries', values.queries, 1),
    seed: toCount('--seed', values.seed, 1),
  };
}

function toTable(text: string): TableName {
  const table = TABLES.find((known) => known === text);
  if (table !== undefined) return table;
  throw new RangeError(`--only: "${text}" is none of ${TABLES.join(', ')}.`);
}

function toCount(option: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`${option}: "${text}" is no whole number of at least ${least}.`);
}
