#!/usr/bin/env node
import { Command, Option } from 'commander';
import { BallastError, messageOf } from './errors.js';
import { providerSchema } from './pipeline/model-config.js';
import type { ProviderChoice } from './runtime/providers.js';
import { createServer } from './server/app.js';
import { readConfigFile } from './server/config-file.js';
import { parseConfig, settings, type Given, type ServerConfig } from './server/config.js';
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
    const server = await createServer(await configOfCommand(serve));
    stopOnSignals(server);
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

program
  .command('fit')
  .description('search what a method needs for a model, and write it to its model.yaml')
  .argument('<MODEL>', 'name of the model')
  .requiredOption('--smoothing', 'nonlinear mixing of the standard and the robust classifier')
  .requiredOption('--clean <DIR>', 'labelled pictures: a folder for each class, named after it')
  .requiredOption('--attacked <DIR>', 'the same pictures, attacked')
  .option(
    '--keep <SHARE>',
    "share of the robust classifier's right answers under attack that must stay",
    '0.985',
  )
  .addOption(new Option('--models <DIR>', 'folder of models').env('BALLAST_MODELS').default('models'))
  .addOption(
    new Option('--provider <NAME>', 'where the model runs')
      .env('BALLAST_PROVIDER')
      .choices(providerSchema.options)
      .default('auto'),
  )
  .action(
    async (
      model: string,
      options: { clean: string; attacked: string; keep: string; models: string; provider: ProviderChoice },
    ) => {
      const { fitSmoothing } = await import('./pipeline/fit-smoothing.js');
      const { clean, attacked, models: modelsDir, provider } = options;
      const onProgress = process.stderr.isTTY ? showProgress : undefined;
      const kept = Number(options.keep);
      const { summary } = await fitSmoothing({
        modelsDir,
        model,
        clean,
        attacked,
        kept,
        provider,
        ...(onProgress && { onProgress }),
      });
      process.stdout.write(`${summary}\n`);
    },
  );

function showProgress(share: number, doing: string): void {
  process.stderr.write(`\r${Math.round(share * 100)} %  ${doing}\x1b[K${share >= 1 ? '\n' : ''}`);
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
