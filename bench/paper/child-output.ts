import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** How benchmarks say that a target was missed. */
const MISSED = /^MISSED/m;

/**
 * Runs a program of this repository with Node, in a process of its own, and collects what it prints. What it says on
 * stderr, such as its progress, goes there.
 * @param args - of node
 * @returns what it printed; of a benchmark that ended with 1 because a target was missed, too
 * @throws Error where it failed
 */
export async function outputOf(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  const printed = Buffer.concat(parts).toString();
  if (status === 0 || (status === 1 && MISSED.test(printed))) return printed;
  throw new Error(`node ${args.join(' ')} ended with ${signal ?? `status ${status}`}.`);
}
