import { z } from 'zod';
import { BallastError } from '../errors.js';
import { numericText } from '../numeric-text.js';
import { providerSchema } from '../pipeline/model-config.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';

/** YAML 1.1 and people alike write a switch in more than one way. */
const onOff = z
  .union([z.boolean(), z.enum(['on', 'off', 'true', 'false'])], 'it must be on or off')
  .transform((value) => value === true || value === 'on' || value === 'true');

/**
 * Every setting of the server, once: its name here gives the flag (`--max-body-mb`), the environment variable
 * (`BALLAST_MAX_BODY_MB`) and the key of the configuration file (`maxBodyMb`); the schema gives the default and
 * what is allowed; the description is the help text.
 */
export const serverConfigSchema = z.strictObject({
  models: z
    .string()
    .min(1)
    .default('models')
    .meta({ description: 'folder of models, one folder with a model.yaml each', argument: 'DIR' }),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .meta({ description: 'address to listen on; 0.0.0.0 for every network', argument: 'ADDRESS' }),
  port: numericText(z.int().min(0).max(65535))
    .default(8080)
    .meta({ description: 'port to listen on; 0 takes a free one', argument: 'PORT' }),
  provider: providerSchema
    .default('auto')
    .meta({ description: 'where models run; auto: cuda, then webgpu, then cpu', argument: 'NAME' }),
  workers: numericText(z.int().min(1).max(64)).optional().meta({
    description: 'inference workers a model; default: small ones on a CPU one a core and one for all, else 1',
    argument: 'N',
  }),
  threads: numericText(z.int().min(1).max(1024)).optional().meta({
    description: "onnxruntime's threads a worker; default: what suits the workers and the cores",
    argument: 'N',
  }),
  warmUp: numericText(z.number().min(0).max(3600)).optional().meta({
    description: 'seconds that each copy of a model may warm up; default: 0.1 on a CPU, 10 on a GPU',
    argument: 'SECONDS',
  }),
  requestTimeout: numericText(z.number().min(0.001).max(86_400))
    .default(30)
    .meta({ description: 'seconds until a request is answered 504', argument: 'SECONDS' }),
  maxBodyMb: numericText(z.number().min(0.001).max(4096))
    .default(100)
    .meta({ description: 'megabytes that a request may have', argument: 'MB' }),
  maxPendingMb: numericText(z.number().min(0.001).max(1_048_576))
    .default(1024)
    .meta({ description: 'megabytes that all requests in flight may have together', argument: 'MB' }),
  maxFiles: numericText(z.int().min(1).max(100_000))
    .default(256)
    .meta({ description: 'files that a predict request may have', argument: 'N' }),
  maxVideoMb: numericText(z.number().min(0.001).max(1_048_576))
    .default(512)
    .meta({ description: 'megabytes that a video may have', argument: 'MB' }),
  maxVideoSeconds: numericText(z.number().min(0.1).max(86_400))
    .default(3600)
    .meta({ description: 'seconds that a video may last', argument: 'SECONDS' }),
  maxVideos: numericText(z.int().min(1).max(1000))
    .default(4)
    .meta({ description: 'videos that are taken in or judged at once', argument: 'N' }),
  maxStreams: numericText(z.int().min(1).max(10_000_000))
    .default(10_000)
    .meta({ description: 'streams kept; the least recently used goes first', argument: 'N' }),
  maxStreamMb: numericText(z.number().min(0.001).max(1_048_576))
    .default(256)
    .meta({ description: 'megabytes that all streams may hold together', argument: 'MB' }),
  maxStreamAge: numericText(z.number().min(0.001).max(31_536_000))
    .default(3600)
    .meta({ description: 'seconds after which an idle stream is forgotten', argument: 'SECONDS' }),
  remoteHosts: z
    .union([z.array(z.string()), z.string().transform((text) => text.split(',').map((host) => host.trim()))])
    .transform((hosts) => hosts.filter((host) => host !== ''))
    .default([])
    .meta({
      description: 'hosts, with or without a port, that remote classifiers may be on; separated by commas',
      argument: 'HOSTS',
    }),
  repositoryControl: onOff
    .default(true)
    .meta({ description: 'whether clients may load and unload models: on or off', argument: 'SWITCH' }),
  promptControl: onOff.default(true).meta({
    description: 'whether clients may fit, choose and delete prompts: on or off',
    argument: 'SWITCH',
  }),
  logLevel: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .meta({ description: 'least severe level that is logged; info has a line a request', argument: 'LEVEL' }),
  shutdownTimeout: numericText(z.number().min(0).max(86_400)).default(30).meta({
    description: 'seconds that requests in flight get to finish after SIGTERM',
    argument: 'SECONDS',
  }),
});

/** Settings of a server, complete. */
export type ServerConfig = z.output<typeof serverConfigSchema>;

/** Settings of a server as a user gives them: whatever is left out has its default. */
export type ServerOptions = Partial<z.output<typeof serverConfigSchema>>;

/** One setting, as the command line and the documentation present it. */
export interface Setting {
  readonly key: keyof ServerConfig;
  readonly flag: string;
  readonly env: string;
  readonly description: string;
  /** As the help shows it; undefined where there is none. */
  readonly default: string | undefined;
}

/** Every setting, in the order of `--help`. */
export const settings: readonly Setting[] = Object.entries(serverConfigSchema.shape).map(([key, schema]) => {
  const words = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const { description = '', argument } = schema.meta() as { description?: string; argument?: string };
  return {
    key: key as keyof ServerConfig,
    flag: `--${words} <${argument ?? 'VALUE'}>`,
    env: `BALLAST_${words.replaceAll('-', '_').toUpperCase()}`,
    description,
    default: defaultText(schema.safeParse(undefined).data),
  };
});

function defaultText(value: string | number | boolean | readonly string[] | undefined): string | undefined {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(',');
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return value === undefined ? undefined : String(value);
}

/** A value of a setting, and where it was found. */
export interface Given {
  readonly value: unknown;
  /** For instance `--port`, `BALLAST_PORT` or `ballast.yaml, key "port"`. */
  readonly where: string;
}

/**
 * Checks settings and fills in the defaults.
 * @param given - by key
 * @throws BallastError invalid-input, with every mistake: where it was found, what was found, what is allowed
 */
export function parseConfig(given: Readonly<Record<string, Given>>): ServerConfig {
  const values = Object.fromEntries(Object.entries(given).map(([key, { value }]) => [key, value]));
  const parsed = serverConfigSchema.safeParse(values, TELLING);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map(
        (key) =>
          `${given[key].where}: there is no such setting; there are ${settings.map((s) => s.key).join(', ')}`,
      );
    }
    const key = String(issue.path[0]);
    const setting = settings.find((known) => known.key === key);
    return [`${given[key].where}: ${foundAndRight(issue)} (${setting?.description ?? key})`];
  });
  throw new BallastError('invalid-input', mistakes.join('\n  '));
}

/** Checks settings given in code. */
export function configOf(options: ServerOptions): ServerConfig {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return parseConfig(
    Object.fromEntries(entries.map(([key, value]) => [key, { value, where: `the setting "${key}"` }])),
  );
}
