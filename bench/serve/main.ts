/** `npm run bench:serve`: how fast Ballast serves, and whether load changes its answers. See options.ts. */
import { runBesideLoad } from './beside-load.js';
import { readOptions, USAGE } from './options.js';
import { runRounds } from './rounds.js';

// An exit by a signal would leave the servers running: they end with this process's `exit` event.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else {
  const met = await (options.mode === 'mixed' ? runBesideLoad(options) : runRounds(options));
  process.exitCode = met ? 0 : 1;
}
