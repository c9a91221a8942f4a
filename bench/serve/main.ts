/** `npm run bench:serve`: how fast Ballast serves, and whether load changes its answers. See options.ts. */
import { readOptions, USAGE } from './options.js';
import { runRounds } from './rounds.js';

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(USAGE);
else process.exitCode = (await runRounds(options)) ? 0 : 1;
