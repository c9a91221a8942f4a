import { setImmediate as nextTurn } from 'node:timers/promises';
import { Lanes } from '../lanes.js';

/** Milliseconds of a turn of the event loop that all decodes together may have before they let others go on. */
const BUDGET_MS = 2;

/** One piece at a time, whoever it is for: those who wait go in turn. */
const thread = new Lanes(1);
let used = 0;

/**
 * Works through `[0, total)` in order, over as many turns of the event loop as it takes, so that nothing else waits
 * however many decodes are under way.
 * @param total - units of work
 * @param step - units that take a millisecond at most, at least 1
 * @param work - given the units `[begin, end)`
 */
export async function inTurns(
  total: number,
  step: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  for (let begin = 0; begin < total; begin += step) {
    await thread.run(async () => {
      if (used >= BUDGET_MS) {
        await nextTurn();
        used = 0;
      }
      const started = performance.now();
      try {
        work(begin, Math.min(total, begin + step));
      } finally {
        used += performance.now() - started;
      }
    });
  }
}
