import { join } from 'node:path';
import { closeLame } from '../adapt/lame.js';
import { evaluate } from './evaluate.js';
import { parseEvalOptions } from './options.js';
import { barProgress, lineProgress } from './progress.js';

/** The shell's exit status of a command that SIGINT ended. */
const INTERRUPTED = 130;

/** Thrown through the run by the first signal. */
class Interrupted extends Error {}

/**
 * `ballast eval`: measures, writes the report and tells the recommendation. The first SIGINT or SIGTERM ends it after
 * the request that is under way, with what was finished kept; the second at once.
 * @param given - the options' texts, by name
 * @returns the exit status: 0, or 130 where a signal ended it
 * @throws BallastError as parseEvalOptions and evaluate
 */
export async function runEvalCommand(given: Readonly<Record<string, unknown>>): Promise<number> {
  const options = parseEvalOptions(given);
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(INTERRUPTED);
    stop.abort(new Interrupted());
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const say = (line: string): void => void process.stderr.write(line);
  try {
    const report = await evaluate(options, {
      progress: process.stderr.isTTY ? barProgress(process.stderr) : lineProgress(say),
      signal: stop.signal,
      tell: (line) => {
        say(`${line}\n`);
      },
    });
    const { summary, fragment, traffic } = report.recommendation;
    const lines = traffic.map(
      ({ stream, batch, reason }) => `  ${`${stream}, requests of ${batch}:`.padEnd(34)}${reason}`,
    );
    process.stdout.write(
      [
        summary,
        ...lines,
        ...(fragment === '' ? [] : ['', 'In model.yaml:', fragment.trimEnd().replaceAll(/^/gm, '  ')]),
        '',
        `${join(options.out, 'report.html')} has all numbers.`,
        '',
      ].join('\n'),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    say(
      `\nStopped. What was finished is in ${join(options.out, 'cells.jsonl')}; run the same command again to go on.\n`,
    );
    return INTERRUPTED;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await closeLame();
  }
}
