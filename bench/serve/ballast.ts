import { existsSync } from 'node:fs';
import { nodeFlags } from './node-flags.js';
import { ServerProcess } from './server-process.js';

const CLI = 'dist/cli.js';

/**
 * Starts Ballast as a user does, with its defaults.
 * @param models - the folder of models
 * @param args - more arguments
 * @throws Error where it is not built, or does not get ready
 */
export function startBallast(models: string, args: readonly string[] = []): Promise<ServerProcess> {
  if (!existsSync(CLI)) throw new Error(`There is no ${CLI}; run npm run build first.`);
  const serve = [...nodeFlags(), CLI, 'serve', '--models', models, '--port', '{port}'];
  const command = [process.execPath, ...serve, ...args];
  return ServerProcess.start('Ballast', command, '/v2/health/ready');
}
