import { z } from 'zod';
import type { FitPromptOptions } from '../adapt/fit-prompt.js';
import { SPSA_GC_DEFAULTS } from '../adapt/spsa-gc.js';
import { BallastError } from '../errors.js';
import { numericText } from '../numeric-text.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';

/** The query's values are text. */
function numeric(schema: z.ZodType, type: 'integer' | 'number', about: string): z.ZodType {
  return numericText(schema).optional().meta({ description: about, override: { type } });
}

/** Query of a request that starts a job. */
export const fitQuerySchema = z.strictObject({
  queries: numeric(
    z.int().min(1).max(1e9),
    'integer',
    'pictures that the classifier may be asked about, in all; default 150000, and none for a remote classifier',
  ),
  seed: numeric(
    z
      .int()
      .min(0)
      .max(2 ** 31),
    'integer',
    'of every random choice; default 0',
  ),
  validation: numeric(
    z.number().gt(0).lt(1),
    'number',
    'share of the pictures that is kept to judge by; default 0.25',
  ),
  batch: numeric(z.int().min(1).max(4096), 'integer', 'pictures that a candidate is judged by; default 32'),
  every: numeric(
    z.int().min(1).max(100_000),
    'integer',
    'steps between two looks at the validation share; default 10',
  ),
  a: numeric(z.number().positive(), 'number', 'length of a step; default 0.001'),
  c: numeric(z.number().positive(), 'number', 'size of a perturbation; default 0.01'),
  o: numeric(z.number().min(0), 'number', 'steps by which the length of a step is held back; default 1'),
  alpha: numeric(z.number().min(0), 'number', 'how fast steps get shorter; default 0.4'),
  gamma: numeric(z.number().min(0), 'number', 'how fast perturbations get smaller; default 0.1'),
  beta: numeric(z.number().min(0).lt(1), 'number', 'momentum; default 0.9'),
  samples: numeric(z.int().min(1).max(1000), 'integer', 'pairs of candidates a step; default 5'),
  correction: z
    .enum(['spsa-gc', 'spsa'])
    .optional()
    .meta({ description: 'how the gradient is estimated: spsa-gc, with momentum, or spsa; default spsa-gc' }),
});

/** Every option, in the order of `--help`: its name, and what it is. */
export const fitSettings: readonly (readonly [string, { readonly description: string }])[] = Object.entries(
  fitQuerySchema.shape,
).map(([name, schema]) => [name, { description: schema.meta()?.description ?? '' }]);

/**
 * How a prompt is fitted where nobody says otherwise: as the authors have it, but for shorter steps. Theirs are for a
 * decoder whose every query normalises its own batch.
 */
export const FIT_DEFAULTS = {
  ...SPSA_GC_DEFAULTS,
  a: 0.001,
  queries: 150_000,
  seed: 0,
  validation: 0.25,
  batchSize: 32,
  evaluateEvery: 10,
} as const satisfies FitPromptOptions;

/**
 * Reads the options of a fit.
 * @param given - by name, as text
 * @param isRemote - whether every query may cost money, so that their number must be given
 * @throws BallastError invalid-input, naming the option
 */
export function readFitOptions(
  given: Readonly<Record<string, unknown>>,
  isRemote: boolean,
): FitPromptOptions {
  const parsed = fitQuerySchema.safeParse(given, TELLING);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const problem =
      issue.code === 'unrecognized_keys'
        ? `There is no option "${issue.keys[0].slice(0, 64)}"; there are ${Object.keys(fitQuerySchema.shape).join(', ')}.`
        : `The option "${String(issue.path[0])}" is wrong: ${foundAndRight(issue)}.`;
    throw new BallastError('invalid-input', problem);
  }
  const { batch, every, ...rest } = parsed.data as Partial<Record<string, number>>;
  if (isRemote && rest['queries'] === undefined) {
    throw new BallastError(
      'invalid-input',
      'The classifier is remote, and every picture that it is asked about may cost: say with "queries" how many it may be.',
    );
  }
  const own = Object.entries({ ...rest, batchSize: batch, evaluateEvery: every });
  return { ...FIT_DEFAULTS, ...Object.fromEntries(own.filter(([, value]) => value !== undefined)) };
}
