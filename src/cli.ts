#!/usr/bin/env node
import { Command, Option } from 'commander';
import { BallastError, messageOf } from './errors.js';
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
  const option = new Option(setting.flag, setting.description).env(setting.env);
  serve.addOption(setting.default === undefined ? option : option.default(undefined, setting.default));
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
