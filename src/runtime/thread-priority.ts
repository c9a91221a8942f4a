import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename } from 'node:path';

/**
 * Gives this thread, and those that it starts from now on, a lower priority than the main thread's, on Linux, which
 * keeps one for each thread by its own number. Elsewhere nothing changes.
 * @param nice - from 1, hardly lower, to 19: runs where nothing else wants the core
 */
export function lowerThreadPriority(nice: number): void {
  try {
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), nice);
  } catch {
    // There is no such folder, or it may not be read: the thread competes as an equal.
  }
}
