import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface PromptBenchOptions {
  /** Folder of MNIST's four files. */
  readonly data: string;
  /** Folder of the model. */
  readonly model: string;
  readonly seeds: readonly number[];
  /** Pictures of each class to fit on, and to test on. */
  readonly shots: number;
  readonly perClass: number;
  /** Pictures that the classifier may be asked about a fit. */
  readonly queries: number;
  /** Whether serving beside a job is measured, in place of accuracy; and how often. */
  readonly beside: boolean;
  readonly rounds: number;
  /** Where the pictures are written as folders, in place of measuring. */
  readonly write?: string | undefined;
  readonly json?: string | undefined;
}

export const USAGE = `Usage: npm run bench:prompt -- [options]

Test accuracy with and without a fitted prompt on four shifted sets of digits, for BlackVIP, for SPSA without
correction, and for a prompt that is the same for every picture; all with the same queries, through the server.

  --data DIR      MNIST's four files (default ../shared/data/mnist)
  --model DIR     the model's folder (default models/digits)
  --seeds LIST    of shots and fits (default 1,2,3)
  --shots N       pictures of each class to fit on (default 16)
  --queries N     pictures that the classifier may be asked about a fit (default 300000)
  --quick         one seed and 60000 queries: about 2 minutes
  --beside        measure throughput and latency of serving while a job runs, and no accuracy
  --rounds N      of --beside, whose medians count (default 3)
  --write DIR     write the shots of the first seed and 20 test pictures a class as folders, and measure nothing
  --json FILE     write the numbers there too
`;

/** @throws TypeError or RangeError with a sentence for the user where an option is wrong */
export function readOptions(args: readonly string[]): PromptBenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      data: { type: 'string', default: '../shared/data/mnist' },
      model: { type: 'string', default: 'models/digits' },
      seeds: { type: 'string' },
      shots: { type: 'string', default: '16' },
      queries: { type: 'string' },
      quick: { type: 'boolean', default: false },
      beside: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      write: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const seeds = values.seeds ?? (values.quick ? '1' : '1,2,3');
  return {
    data: values.data,
    model: values.model,
    seeds: seeds.split(',').map((seed) => toCount('--seeds', seed)),
    shots: toCount('--shots', values.shots),
    perClass: values.quick ? 100 : 200,
    queries: toCount('--queries', values.queries ?? (values.quick ? '60000' : '300000')),
    beside: values.beside,
    rounds: toCount('--rounds', values.rounds),
    write: values.write,
    json: values.json,
  };
}

function toCount(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`${option}: "${text}" is no whole number above 0.`);
}
