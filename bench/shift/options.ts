import { parseArgs } from 'node:util';

/** The affinities of LAME, in the order of the table. */
export const AFFINITIES = ['knn', 'rbf', 'linear'] as const;
export type Affinity = (typeof AFFINITIES)[number];

/** What the command line asks for. */
export interface ShiftOptions {
  /** Zip with `<class>/NAME.jpg`. */
  readonly data: string;
  /** Folder of models, and which of them is measured. */
  readonly models: string;
  readonly model: string;
  readonly affinities: readonly Affinity[];
  /** Deviations of the noise, in grey levels. */
  readonly levels: readonly number[];
  /** Images of each class, at most. */
  readonly perClass: number;
  readonly seed: number;
  /** Every row through the server's pipeline, and not the target rows alone. */
  readonly served: boolean;
  /** Where the numbers are written as JSON. */
  readonly json?: string | undefined;
}

export const USAGE = `Usage: npm run bench:shift -- [options]

Accuracy of a model with and without LAME where the test images shift: noise levels x order x batch size x affinity.

  --data ZIP          test images as <class>/NAME.jpg (default ../shared/data/cifar10-test.zip)
  --models DIR        folder of models (default models)
  --model NAME        the model in it (default cifar10)
  --affinities LIST   of knn, rbf, linear (default all)
  --levels LIST       deviations of the noise in grey levels (default 0,8,16,24,28,32,35)
  --seed N            of noise and orders (default 1)
  --served            send every row through the served pipeline; else only the rows that targets are about, and
                      the others reuse one forward pass an image and run LAME's stage alone
  --quick             two noise levels, 200 images a class
  --json FILE         write the numbers there too
`;

/** @throws TypeError or RangeError with a sentence for the user where an option is wrong */
export function readOptions(args: readonly string[]): ShiftOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string', default: '../shared/data/cifar10-test.zip' },
      models: { type: 'string', default: 'models' },
      model: { type: 'string', default: 'cifar10' },
      affinities: { type: 'string', default: AFFINITIES.join(',') },
      levels: { type: 'string' },
      seed: { type: 'string', default: '1' },
      served: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const levels = values.levels ?? (values.quick ? '0,32' : '0,8,16,24,28,32,35');
  return {
    data: values.data,
    models: values.models,
    model: values.model,
    affinities: values.affinities.split(',').map(toAffinity),
    levels: levels.split(',').map((level) => toNumber('--levels', level)),
    perClass: values.quick ? 200 : Number.POSITIVE_INFINITY,
    seed: toNumber('--seed', values.seed),
    served: values.served,
    json: values.json,
  };
}

function toAffinity(text: string): Affinity {
  const affinity = AFFINITIES.find((known) => known === text);
  if (affinity === undefined)
    throw new RangeError(`--affinities: "${text}" is none of ${AFFINITIES.join(', ')}.`);
  return affinity;
}

function toNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new RangeError(`${option}: "${text}" is no number of 0 or more.`);
  }
  return value;
}
