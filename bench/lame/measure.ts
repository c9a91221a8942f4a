import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { lame, type Affinity, type LameResult } from '#ballast/adapt/lame.js';
import type { Peer } from './peer.js';
import type { Problem } from './problem.js';

/** What was measured at one size with one affinity; times are medians in milliseconds. */
export interface Row {
  readonly affinity: Affinity;
  readonly N: number;
  readonly K: number;
  readonly D: number;
  readonly ballast: number;
  readonly cdist: number;
  /** Undefined where its N × N × D numbers would take too much memory. */
  readonly differences: number | undefined;
  readonly iterations: { readonly ballast: number; readonly peer: number };
  /** The largest difference between a probability of Ballast and one of the peer. */
  readonly apart: number;
  /** The longest that the event loop was held in any run of Ballast, in milliseconds. */
  readonly held: number;
}

/** Idle threads of the other side may spin for a moment after its runs; this long they get to go to sleep. */
const PAUSE_MS = 20;
/** Each side runs for about this long in a row, as in a busy server, before it is the other's turn. */
const TURN_MS = 100;
const MOST_RUNS = 200;
/** Runs of each side before it is measured. */
const WARM_UP = 10;
/** Bytes that the N × N × D differences may take. */
const MEMORY = 8 * 2 ** 30;

/**
 * Runs Ballast and the peer by turns on the same problem, each warmed up before.
 * @param rounds - turns of each; of the form with N × N × D differences no more than 3
 */
export async function measure(
  problem: Problem,
  affinity: Affinity,
  peer: Peer,
  rounds: number,
): Promise<Row> {
  const { N, K, D } = problem.size;
  const withDifferences = N * N * D * 4 < MEMORY && affinity !== 'linear';
  const answer = await lame(problem.probabilities, problem.features, { affinity });
  const { iterations } = await peer.run(problem, affinity, 'cdist', 1, true);
  const warm = {
    ballast: await runBallast(problem, affinity, WARM_UP),
    cdist: await peer.run(problem, affinity, 'cdist', WARM_UP),
  };
  const runs = { ballast: runsInTurn(warm.ballast), cdist: runsInTurn(warm.cdist.ms) };
  const times = { ballast: [] as number[], cdist: [] as number[], differences: [] as number[] };
  let held = 0;
  for (let round = 0; round < rounds; round++) {
    await setTimeout(PAUSE_MS);
    times.ballast.push(...(await runBallast(problem, affinity, runs.ballast)));
    held = Math.max(held, await longestHeld(problem, affinity));
    await setTimeout(PAUSE_MS);
    times.cdist.push(...(await peer.run(problem, affinity, 'cdist', runs.cdist)).ms);
    if (!withDifferences || round >= 3) continue;
    times.differences.push(...(await peer.run(problem, affinity, 'differences', 1)).ms);
  }
  return {
    affinity,
    ...{ N, K, D },
    ballast: median(times.ballast),
    cdist: median(times.cdist),
    differences: times.differences.length === 0 ? undefined : median(times.differences),
    iterations: { ballast: answer.iterations, peer: iterations },
    apart: largestDifference(answer, problem.files.answer),
    held,
  };
}

function runsInTurn(ms: readonly number[]): number {
  return Math.max(1, Math.min(MOST_RUNS, Math.floor(TURN_MS / median(ms))));
}

async function runBallast(problem: Problem, affinity: Affinity, runs: number): Promise<number[]> {
  const ms: number[] = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await lame(problem.probabilities, problem.features, { affinity });
    ms.push(performance.now() - start);
  }
  return ms;
}

/** How long the event loop is held at most during a few runs, which are not timed: looking costs a little. */
async function longestHeld(problem: Problem, affinity: Affinity): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await runBallast(problem, affinity, 5);
  // The end of the last call is over when the next timer has run.
  await setTimeout(2);
  delay.disable();
  return delay.max / 1e6;
}

function largestDifference({ probabilities: { data } }: LameResult, file: string): number {
  const bytes = readFileSync(file);
  const theirs = new Float32Array(bytes.buffer, bytes.byteOffset, data.length);
  return data.reduce((largest, value, i) => Math.max(largest, Math.abs(value - theirs[i])), 0);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
