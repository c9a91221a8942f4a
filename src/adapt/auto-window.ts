import { BallastError } from '../errors.js';
import type { Matrix } from '../runtime/tensor.js';
import { Agreement } from './agreement.js';
import { divideTraffic, MAX_REACH, newestRun, type Stretch } from './traffic.js';

/** Samples of a stream that are kept to judge its traffic by; none of them reaches further back. */
export const AUTO_HISTORY = MAX_REACH;

/** The samples `[begin, end)` that LAME adapts together; the answers of `[from, end)` are kept. */
export interface AdaptedWindow {
  readonly begin: number;
  readonly from: number;
  readonly end: number;
}

/**
 * Why samples are adapted, or are not:
 * - `runs`: all of them are in runs of samples that agree
 * - `some-runs`: some of them are; the others stay as they are
 * - `shuffled`: none is, the traffic looks shuffled and balanced
 * - `alone`: there is one sample and nothing before it
 */
export type WindowDecision = 'runs' | 'some-runs' | 'shuffled' | 'alone';

/** With which neighbours in time LAME adapts each sample. */
export interface WindowPlan {
  /** In order, without overlap of what is kept; samples in none of them stay as they are. */
  readonly windows: readonly AdaptedWindow[];
  readonly decision: WindowDecision;
  /** Samples that a sample is adapted with, itself counted, on average; 1 where it stays as it is. */
  readonly window: number;
}

/** What a plan needs to know besides the probabilities. */
export interface PlanOptions {
  /** How many of the samples, the last ones, are to be adapted; those before them are a stream's past. All when left out. */
  readonly own?: number;
  /** Neighbours of a sample in LAME's affinity. */
  readonly k: number;
}

/**
 * With this probability all samples of the newest one's window are of its run. At one half, samples of another run
 * are counted in as often as samples of its own are left out.
 */
const CONFIDENCE = 0.5;

/**
 * Decides from traffic itself, without labels, with which neighbours in time LAME should adapt each sample. It finds
 * runs by how much more samples agree on their class than shuffled ones would, and covers each with windows of k + 1
 * samples: in such a window every sample is every other's neighbour, so that it votes as one, and cannot fall apart
 * into groups of which one is wrong. The rule and its derivation: docs/lame-window.md.
 *
 * A single sample that ends a stream is judged by its past alone; several by their past and each other.
 * @param probabilities - q `[N, K]` in order of arrival; rows sum to 1
 * @throws BallastError invalid-input where `own` or `k` is no whole number in range
 */
export async function planWindows(probabilities: Matrix, { own, k }: PlanOptions): Promise<WindowPlan> {
  const { rows } = probabilities;
  const count = own ?? rows;
  checkWhole('own', count, rows);
  checkWhole('k', k, Number.MAX_SAFE_INTEGER);
  if (rows === 1) return { windows: [], decision: 'alone', window: 1 };
  const agreement = await Agreement.of(probabilities);
  const before = rows - count;
  const stretches =
    count === 1 ? await newestStretch(agreement) : (await divideTraffic(agreement)).filter(({ run }) => run);
  return planOf(
    stretches.flatMap((stretch) => windowsOf(stretch, before, k + 1)),
    count,
  );
}

async function newestStretch(agreement: Agreement): Promise<Stretch[]> {
  const { rows } = agreement;
  const length = await newestRun(agreement, CONFIDENCE);
  return [{ begin: rows - length, end: rows, run: true }];
}

/** Covers what a run has from `before` on with windows of `size`; those before it and each other fill the last ones up. */
function windowsOf({ begin, end }: Stretch, before: number, size: number): AdaptedWindow[] {
  const from = Math.max(begin, before);
  const count = Math.ceil((end - from) / size);
  const windows: AdaptedWindow[] = [];
  for (let last = 1, kept = from; last <= count; last++) {
    const stop =
      last === count ? end : from + size + Math.round(((last - 1) * (end - from - size)) / (count - 1));
    const start = Math.max(begin, stop - size);
    if (stop - start >= 2) windows.push({ begin: start, from: kept, end: stop });
    kept = stop;
  }
  return windows;
}

function planOf(windows: readonly AdaptedWindow[], count: number): WindowPlan {
  let adapted = 0;
  let together = 0;
  for (const { begin, from, end } of windows) {
    adapted += end - from;
    together += (end - from) * (end - begin);
  }
  const decision = adapted === 0 ? 'shuffled' : adapted === count ? 'runs' : 'some-runs';
  return { windows, decision, window: (together + count - adapted) / count };
}

function checkWhole(name: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return;
  throw new BallastError(
    'invalid-input',
    `${name} is ${value}; it must be a whole number from 1 to ${most}.`,
  );
}
