import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/**
 * The cores that this process may use: those of the machine, or fewer where its container has a quota of their time,
 * which Node does not look at.
 * @param quotaFile - cgroup v2: microseconds of a period that may be used, or `max`, and the period
 */
export function availableCores(quotaFile = '/sys/fs/cgroup/cpu.max'): number {
  const cores = availableParallelism();
  let text: string;
  try {
    text = readFileSync(quotaFile, 'utf8');
  } catch {
    return cores;
  }
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  return quota > 0 && period > 0 ? Math.max(1, Math.min(cores, Math.ceil(quota / period))) : cores;
}
