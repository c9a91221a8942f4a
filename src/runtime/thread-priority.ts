import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { basename } from 'node:path';

/**
 * For threads that calculate on every core: the main thread still gets one at once, to answer probes, and to prepare
 * the next batches, for which they would wait much longer than it takes. At 10, probes would wait a little less, and a
 * small model would answer 2 to 3 % fewer requests.
 */
export const BEHIND_THE_MAIN_THREAD = 5;

/**
 * Gives this thread, and those that it starts from now on, a lower priority than the main thread's, on Linux, which
 * keeps one for each thread by its own number. Elsewhere nothing changes.
 * @param nice - how much lower than now: from 1, hardly, to 19, which runs where nothing else wants the core
 */
export function lowerThreadPriority(nice: number): void {
  try {
    const thread = Number(basename(readlinkSync('/proc/thread-self')));
    setPriority(thread, Math.min(19, getPriority(thread) + nice));
  } catch {
    // There is no such folder, or it may not be read: the thread competes as an equal.
  }
}
