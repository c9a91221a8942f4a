#!/usr/bin/env -S node --no-memory-reducer --min-semi-space-size=16
import { Command, Option } from 'commander';
import type { FitProgress } from './adapt/fit-prompt.js';
import { BallastError, messageOf } from './errors.js';
import { evalSettings } from './eval/options.js';
import { providerSchema } from './pipeline/model-config.js';
import type { ProviderChoice } from './runtime/providers.js';
import { createServer } from './server/app.js';
import { readConfigFile } from './server/config-file.js';
import { parseConfig, settings, type Given, type ServerConfig } from './server/config.js';
import { ageHeap, letHeapGrow } from './server/heap.js';
import { fitSettings, readFitOptions } from './server/prompt-options.js';
import { stopOnSignals } from './server/shutdown.js';
import { packageVersion } from './server/version.js';

const program = new Command('ballast')
  .description('Serves ONNX models over HTTP and keeps them steady when the field moves.')
  .version(packageVersion)
  .configureHelp({ helpWidth: 100, sortOptions: false })
  .showHelpAfterError('(ballast --help lists the commands, ballast COMMAND --help their options)');

const serve = program
  .command('serve')
  .description('serve a folder of models')
  .addOption(
    new Option(
      '--config <FILE>',
      'YAML file of settings: the names below in camelCase, such as maxBodyMb; flags and variables come first',
    ).env('BALLAST_CONFIG'),
  )
  .action(async () => {
    letHeapGrow();
    const server = await createServer(await configOfCommand(serve));
    stopOnSignals(server);
    ageHeap();
    const { url } = await server.listen();
    server.logger.info(
      { url, models: server.models.index().length },
      `listening on ${url}, API at ${url}/docs`,
    );
  });
for (const setting of settings) {
  // The default is told but not set: a flag that was not given must not hide a variable or the file.
  const { flag, env, description, default: fallback } = setting;
  serve.addOption(
    new Option(flag, fallback === undefined ? description : `${description}; default: ${fallback}`).env(env),
  );
}

program
  .command('import')
  .description('make a model folder from an ONNX file: finds logits and features, writes model.yaml')
  .argument('<FILE>', 'the ONNX file; external data is taken along')
  .addOption(new Option('--models <DIR>', 'folder of models').env('BALLAST_MODELS').default('models'))
  .option('--name <NAME>', "the model's name (default: made from the file's)")
  .option('--labels <FILE>', 'a label a line, in the order of the classes')
  .option('--force', 'overwrite a model of that name')
  .action(
    async (file: string, options: { models: string; name?: string; labels?: string; force?: boolean }) => {
      // Serving needs none of it.
      const { importModel } = await import('./pipeline/import-model.js');
      const { models: modelsDir, ...rest } = options;
      const { summary } = await importModel({ file, modelsDir, ...rest });
      process.stdout.write(`${summary}\n`);
    },
  );

const fit = program
  .command('fit')
  .description(
    'fit what a method needs for a model: prompts (--images), scales and shifts for missing inputs (--modulation), or nonlinear mixing (--smoothing)',
  )
  .argument('[MODEL]', 'name of the model')
  .option('--model <NAME>', 'name of the model')
  .addOption(new Option('--models <DIR>', 'folder of models').env('BALLAST_MODELS').default('models'))
  .addOption(
    new Option('--provider <NAME>', 'where the model runs')
      .env('BALLAST_PROVIDER')
      .choices(providerSchema.options)
      .default('auto'),
  )
  .option('--images <DIR>', 'fit a prompt to these pictures: a folder for each class, named after it')
  .addOption(
    new Option('--remote-hosts <HOSTS>', 'hosts that a remote classifier may be on').env(
      'BALLAST_REMOTE_HOSTS',
    ),
  )
  .option('--modulation', 'fit scales and shifts for samples of which an input is missing')
  .option('--data <DIR>', 'with --modulation: a folder for each input that arrives, in it one for each class')
  .option('--arrived <INPUTS>', 'with --modulation: the inputs that arrive, separated by commas')
  .option('--smoothing', 'fit nonlinear mixing of the standard and the robust classifier')
  .option('--clean <DIR>', 'with --smoothing: labelled pictures, a folder for each class')
  .option('--attacked <DIR>', 'with --smoothing: the same pictures, attacked')
  .option(
    '--keep <SHARE>',
    "with --smoothing: share of the robust classifier's right answers under attack that must stay; default: 0.985",
  )
  .action(async (argument: string | undefined) => {
    const given = fit.opts<Partial<Record<string, string>> & { models: string; provider: ProviderChoice }>();
    const model = given['model'] ?? argument;
    if (model === undefined) throw new BallastError('invalid-input', 'Say which model: ballast fit MODEL …');
    const { models: modelsDir, provider } = given;
    const [images, clean, attacked] = [given['images'], given['clean'], given['attacked']];
    const [samples, arrived] = [given['data'], given['arrived']];
    if (given['modulation'] !== undefined && samples !== undefined && arrived !== undefined) {
      const { fitModulationFolder } = await import('./pipeline/fit-modulation-folder.js');
      const verdict = await fitModulationFolder({
        ...{ modelsDir, model, samples, provider },
        combination: arrived.split(',').map((input) => input.trim()),
        fit: readFitOptions(fitOptions(given), false),
        ...(process.stderr.isTTY && { onProgress: progressLine() }),
      });
      process.stdout.write(`${verdict}\n`);
    } else if (given['smoothing'] === undefined && images !== undefined) {
      await fitPrompt({ modelsDir, model, images, provider, given });
    } else if (given['smoothing'] !== undefined && clean !== undefined && attacked !== undefined) {
      const { fitSmoothing } = await import('./pipeline/fit-smoothing.js');
      const onProgress = process.stderr.isTTY ? showProgress : undefined;
      const kept = Number(given['keep'] ?? '0.985');
      const { summary } = await fitSmoothing({
        ...{ modelsDir, model, clean, attacked, kept, provider },
        ...(onProgress && { onProgress }),
      });
      process.stdout.write(`${summary}\n`);
    } else {
      throw new BallastError(
        'invalid-input',
        'Say what to fit: --images DIR for a prompt, --modulation --data DIR --arrived INPUTS for what is missing, or --smoothing --clean DIR --attacked DIR for mixing.',
      );
    }
  });
for (const [name, { description }] of fitSettings) {
  fit.option(`--${name} <VALUE>`, `with --images: ${description}`);
}

const evaluation = program
  .command('eval')
  .description(
    'measure on labelled pictures whether adaptation helps: every method, condition, order of arrival and size of request',
  )
  .action(async () => {
    const { runEvalCommand } = await import('./eval/eval-command.js');
    process.exitCode = await runEvalCommand(evaluation.opts<Record<string, unknown>>());
  });
for (const { flag, description, env } of evalSettings) {
  const option = new Option(flag, description);
  evaluation.addOption(env === undefined ? option : option.env(env));
}

async function fitPrompt(options: {
  readonly modelsDir: string;
  readonly model: string;
  readonly images: string;
  readonly provider: ProviderChoice;
  readonly given: Partial<Record<string, string>>;
}): Promise<void> {
  const { given, ...rest } = options;
  const { fitPromptFolder } = await import('./pipeline/fit-prompt-folder.js');
  const own = fitOptions(given);
  const { verdict } = await fitPromptFolder({
    ...rest,
    remoteHosts: (given['remoteHosts'] ?? '').split(',').filter((host) => host !== ''),
    fit: (isRemote) => readFitOptions(own, isRemote),
    ...(process.stderr.isTTY && { onProgress: progressLine() }),
  });
  process.stdout.write(
    `${verdict}\nA server that runs takes it once the model is loaded again: POST /v2/repository/models/${rest.model}/load\n`,
  );
}

/** The options of a fit among those that were given. */
function fitOptions(given: Partial<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    fitSettings.flatMap(([name]): [string, string][] => {
      const value = given[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function progressLine(): (progress: FitProgress) => void {
  const begin = performance.now();
  return ({ step, steps, loss, best, base, queries }) => {
    const left = Math.round(((performance.now() - begin) / 1000 / step) * (steps - step));
    const shares = [base, best].map(({ accuracy }) => (accuracy * 100).toFixed(1)).join(' -> ');
    showProgress(
      step / steps,
      `step ${step} of ${steps}, loss ${loss.toFixed(3)}, validation ${shares} %, ${queries} queries, ${left} s left`,
    );
  };
}

const BAR = 24;

function showProgress(share: number, doing: string): void {
  const filled = Math.round(share * BAR);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled);
  process.stderr.write(`\r${bar} ${Math.round(share * 100)} %  ${doing}\x1b[K${share >= 1 ? '\n' : ''}`);
}

/** Flags go before environment variables, those before the file, and that before the defaults. */
async function configOfCommand(command: Command): Promise<ServerConfig> {
  const options = command.opts<Record<string, string | undefined>>();
  const file = options['config'];
  const given: Record<string, Given> = file === undefined ? {} : await readConfigFile(file);
  for (const { key, flag, env } of settings) {
    const value = options[key];
    if (value === undefined) continue;
    const where = command.getOptionValueSource(key) === 'env' ? env : flag.split(' ')[0];
    given[key] = { value, where };
  }
  return parseConfig(given);
}

program.parseAsync().catch((error: unknown) => {
  // A mistake of the user's needs a sentence; a fault of the program's needs its stack.
  process.stderr.write(
    `ballast: ${error instanceof BallastError ? error.message : error instanceof Error && error.stack ? error.stack : messageOf(error)}\n`,
  );
  process.exit(1);
});
