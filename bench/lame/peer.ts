import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Affinity } from '#ballast/adapt/lame.js';
import type { Problem } from './problem.js';

/** How the peer measures distances: with torch.cdist, or with the reference's N × N × D differences. */
export type PeerForm = 'cdist' | 'differences';

/** What runs of the peer took, each in milliseconds. */
export interface PeerRuns {
  readonly ms: readonly number[];
  readonly iterations: number;
}

/** LAME in PyTorch, in a Python process that is idle between runs. */
export interface Peer {
  readonly version: string;
  /** Runs a problem `runs` times in a row; with `writeAnswer`, its answer goes to the problem's file. */
  run(
    problem: Problem,
    affinity: Affinity,
    form: PeerForm,
    runs: number,
    writeAnswer?: boolean,
  ): Promise<PeerRuns>;
  close(): void;
}

/**
 * Starts the peer with the interpreter that the environment variable PYTHON names.
 * @param threads - threads that PyTorch may use
 * @throws Error where the interpreter or PyTorch is missing
 */
export async function startPeer(threads: number): Promise<Peer> {
  const python = process.env.PYTHON ?? 'python3';
  const script = fileURLToPath(new URL('peer.py', import.meta.url));
  const child = spawn(python, [script, String(threads)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = new Promise<never>((_, reject) => {
    child.on('error', (error) => {
      reject(new Error(`${python} does not start: ${error.message}. Name an interpreter in PYTHON.`));
    });
    child.on('exit', (code) => {
      reject(new Error(`The PyTorch peer ended with code ${code ?? 'none'}.`));
    });
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const line = await Promise.race([lines.next(), failed]);
    // The exit that ended the lines says more than their end.
    return line.done === true ? failed : JSON.parse(line.value);
  };
  const { torch } = (await answer()) as { torch: string };
  return {
    version: torch,
    async run(problem, affinity, form, runs, writeAnswer = false) {
      const { answer: file, ...files } = problem.files;
      const request = { form, affinity, k: 5, rows: problem.size.N, runs, ...files };
      child.stdin.write(`${JSON.stringify(writeAnswer ? { ...request, answer: file } : request)}\n`);
      return (await answer()) as PeerRuns;
    },
    close() {
      failed.catch(() => undefined);
      child.stdin.end();
    },
  };
}
