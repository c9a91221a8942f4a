import { z } from 'zod';
import { BallastError, messageOf } from '../errors.js';
import { numericText } from '../numeric-text.js';
import { providerSchema } from '../pipeline/model-config.js';
import { TELLING } from '../schema-mistake.js';
import { parseConditions } from './condition.js';
import { parseStreams } from './streams.js';

/** A list that another function reads, whose sentence becomes the mistake. */
function listed<T>(read: (text: string) => T[]): z.ZodPipe<z.ZodString, z.ZodTransform<T[], string>> {
  return z.string().transform((text, context): T[] => {
    try {
      return read(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) });
      return z.NEVER;
    }
  });
}

const batches = z
  .string()
  .transform((text) => text.split(',').map((size) => Number(size.trim())))
  .pipe(
    z
      .array(
        z
          .int('requests have whole numbers of samples from 1 to 4096, such as 1,64')
          .min(1, 'a request has at least 1 sample')
          .max(4096, 'LAME takes at most 4096 samples together'),
      )
      .transform((sizes) => [...new Set(sizes)]),
  );

/**
 * Every option of `ballast eval`, once: the name gives the flag, the schema the default and what is allowed, the
 * description the help text. Defaults are for a few minutes on a thousand small pictures and two cores.
 */
export const evalOptionsSchema = z.strictObject({
  model: z.string().min(1).meta({ description: 'name of the model', argument: 'NAME' }),
  models: z
    .string()
    .min(1)
    .default('models')
    .meta({ description: 'folder of models', argument: 'DIR', env: 'BALLAST_MODELS' }),
  data: z.string().min(1).meta({
    description: 'labelled pictures: a folder or a zip with a folder for each class, named after it',
    argument: 'DIR|ZIP',
  }),
  labels: z.string().min(1).optional().meta({
    description: 'CSV with a line file,label for each picture, in place of folders named after classes',
    argument: 'FILE',
  }),
  conditions: listed(parseConditions).prefault('clean,gaussian-noise:3,defocus-blur:3').meta({
    description: 'what is done to the pictures: clean, CORRUPTION[:SEVERITY] or all[:SEVERITY], with commas',
    argument: 'LIST',
  }),
  streams: listed(parseStreams).prefault('shuffled,runs:40,dirichlet:0.1').meta({
    description: 'the order in which they come: shuffled, sorted, runs:LENGTH, dirichlet:DELTA, mixed',
    argument: 'LIST',
  }),
  batches: batches.prefault('1,64').meta({
    description: 'pictures a request; 1 is a stream: one by one, LAME within its window',
    argument: 'LIST',
  }),
  methods: z.string().min(1).optional().meta({
    description:
      'what is compared, such as base,lame,lame+smoothing; default: every combination of what model.yaml has',
    argument: 'LIST',
  }),
  samples: numericText(z.int().min(10).max(1_000_000))
    .default(1000)
    .meta({ description: 'pictures at most, of all classes alike', argument: 'N' }),
  seed: numericText(
    z
      .int()
      .min(0)
      .max(2 ** 31),
  )
    .default(0)
    .meta({ description: 'of every random choice', argument: 'N' }),
  calibrate: z.boolean().default(false).meta({
    description: 'fit a temperature on half of the pictures first, and write it to model.yaml where it helps',
  }),
  reference: z.boolean().default(false).meta({
    description: 'write what the drift of served features is told from, and name it in model.yaml',
  }),
  out: z.string().min(1).default('report').meta({
    description: 'folder for report.html, report.md and report.json; what is done there is not done again',
    argument: 'DIR',
  }),
  provider: providerSchema
    .default('auto')
    .meta({ description: 'where the model runs', argument: 'NAME', env: 'BALLAST_PROVIDER' }),
  remoteHosts: z
    .string()
    .transform((text) => text.split(',').map((host) => host.trim()))
    .transform((hosts) => hosts.filter((host) => host !== ''))
    .prefault('')
    .meta({
      description: 'hosts that a remote classifier may be on',
      argument: 'HOSTS',
      env: 'BALLAST_REMOTE_HOSTS',
    }),
});

/** What `ballast eval` is asked for. */
export type EvalOptions = z.output<typeof evalOptionsSchema>;

/** One option, as the command line presents it. */
export interface EvalSetting {
  readonly key: keyof EvalOptions;
  /** Such as `--seed <N>`. */
  readonly flag: string;
  /** With the default, where there is one. */
  readonly description: string;
  /** The environment variable that stands for it, where there is one. */
  readonly env: string | undefined;
}

/** Every option, in the order of `--help`. */
export const evalSettings: readonly EvalSetting[] = Object.entries(evalOptionsSchema.shape).map(
  ([key, schema]): EvalSetting => {
    const { description = '', argument, env } = schema.meta() as Meta;
    const fallback = defaultTextOf(schema);
    return {
      key: key as keyof EvalOptions,
      flag: argument === undefined ? flagOf(key) : `${flagOf(key)} <${argument}>`,
      description: fallback === undefined ? description : `${description}; default: ${fallback}`,
      env,
    };
  },
);

function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

interface Meta {
  readonly description?: string;
  readonly argument?: string;
  readonly env?: string;
}

function defaultTextOf(schema: z.ZodType): string | undefined {
  const { def } = schema as unknown as { readonly def: { readonly defaultValue?: unknown } };
  const { defaultValue } = def;
  return (typeof defaultValue === 'string' && defaultValue !== '') || typeof defaultValue === 'number'
    ? String(defaultValue)
    : undefined;
}

/**
 * Checks options and fills in the defaults.
 * @param given - text of the command line, by name; undefined for what was not given
 * @throws BallastError invalid-input, with every mistake on a line of its own
 */
export function parseEvalOptions(given: Readonly<Record<string, unknown>>): EvalOptions {
  const parsed = evalOptionsSchema.safeParse(
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    TELLING,
  );
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map((issue) => {
    const key = String(issue.path[0] ?? '');
    const value = given[key];
    if (value === undefined) {
      const missing = evalSettings.find((setting) => setting.key === key);
      return `Say ${flagOf(key)}: ${missing?.description ?? issue.message}.`;
    }
    return `${flagOf(key)} ${JSON.stringify(value)}: ${issue.message}`;
  });
  throw new BallastError('invalid-input', [...new Set(mistakes)].join('\n'));
}
