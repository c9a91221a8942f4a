import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Agreement } from './agreement.js';

/** Samples in a row, `[begin, end)`. A run agrees on its classes; what lies between runs looks shuffled and balanced. */
export interface Stretch {
  readonly begin: number;
  readonly end: number;
  readonly run: boolean;
}

/** Chances that traffic changes after a sample: from runs of 4 to runs of 256, all as likely beforehand. */
const CHANGE_RATES = [2, 3, 4, 5, 6, 7, 8].map((power) => 2 ** -power);

/** Before anything is seen, a stretch is as likely a run as not, and one that is not has equal or long-run shares. */
const RUN_PRIOR = 0.5;
const SHUFFLED_PRIOR = 0.25;

/** Samples that a run may reach back; each sample is compared with so many before it, at most. */
export const MAX_REACH = 256;

/** Pairs of samples that are compared in one turn of the event loop: about two milliseconds. */
const PAIRS_A_TURN = 2 ** 15;

/**
 * The likeliest division of traffic into runs and shuffled stretches, past and future of each sample known: the
 * best path through all divisions (as in Viterbi, 1967; for runs with priors on their lengths Fearnhead, "Exact and
 * efficient Bayesian inference for multiple changepoint problems", 2006), over seven rates of change.
 * @returns stretches that cover all samples in order
 */
export async function divideTraffic(agreement: Agreement): Promise<Stretch[]> {
  const { rows } = agreement;
  const paths = CHANGE_RATES.map((rate) => new LikeliestPath(rows, rate));
  const ratios = new Float64Array(MAX_REACH);
  const logRatios = new Float64Array(rows);
  let pairs = 0;
  for (let row = 0; row < rows; row++) {
    const first = Math.max(0, row - MAX_REACH + 1);
    agreement.writeRatios(row, first, ratios);
    for (let begin = first; begin <= row; begin++) logRatios[begin] += Math.log(ratios[begin - first]);
    const logBalance = Math.log(agreement.balances[row]);
    for (const path of paths) path.extend(row, first, logRatios, logBalance);
    pairs += row - first;
    if (pairs < PAIRS_A_TURN) continue;
    pairs = 0;
    await nextTurn();
  }
  return paths.reduce((best, path) => (path.score(rows) > best.score(rows) ? path : best)).stretches(rows);
}

/** The likeliest division of the samples up to each, for one rate of change; scores are logs against shuffled traffic. */
class LikeliestPath {
  /** Of the samples before each. */
  private readonly scores: Float64Array;
  /** Where the last stretch before each sample begins; as ~begin where it is a run. */
  private readonly lasts: Int32Array;
  private readonly run: number;
  private readonly stay: number;
  private readonly longRun: ShuffledStretch;
  private readonly balanced: ShuffledStretch;

  constructor(rows: number, rate: number) {
    this.scores = new Float64Array(rows + 1);
    this.lasts = new Int32Array(rows + 1);
    this.run = Math.log(rate * RUN_PRIOR);
    this.stay = Math.log(1 - rate);
    this.longRun = new ShuffledStretch(rate);
    this.balanced = new ShuffledStretch(rate);
    // The first stretch begins without a change.
    this.scores[0] = -Math.log(rate);
  }

  extend(row: number, first: number, logRatios: Float64Array, logBalance: number): void {
    const { scores, lasts, run, stay, longRun, balanced } = this;
    longRun.extend(row, scores[row], 0);
    balanced.extend(row, scores[row], logBalance);
    const shuffled = balanced.score > longRun.score ? balanced : longRun;
    let best = shuffled.score;
    let last = shuffled.begin;
    for (let begin = first; begin <= row; begin++) {
      const score = scores[begin] + run + (row - begin) * stay + logRatios[begin];
      if (score <= best) continue;
      best = score;
      last = ~begin;
    }
    scores[row + 1] = best;
    lasts[row + 1] = last;
  }

  score(rows: number): number {
    return this.scores[rows];
  }

  stretches(rows: number): Stretch[] {
    const found: Stretch[] = [];
    for (let end = rows; end > 0;) {
      const last = this.lasts[end];
      const begin = last < 0 ? ~last : last;
      found.push({ begin, end, run: last < 0 });
      end = begin;
    }
    return found.reverse();
  }
}

/** The likeliest shuffled stretch, of one kind, that ends with the newest sample. */
class ShuffledStretch {
  score = Number.NEGATIVE_INFINITY;
  begin = 0;
  private readonly change: number;
  private readonly stay: number;

  constructor(rate: number) {
    this.change = Math.log(rate * SHUFFLED_PRIOR);
    this.stay = Math.log(1 - rate);
  }

  extend(row: number, before: number, logLikelihood: number): void {
    this.score += this.stay;
    if (before + this.change > this.score) {
      this.score = before + this.change;
      this.begin = row;
    }
    this.score += logLikelihood;
  }
}

/**
 * How far back the run of the newest sample reaches, only its past known: the run-length posterior of Adams and
 * MacKay, "Bayesian online changepoint detection", 2007, averaged over seven rates of change.
 * @param confidence - the probability in (0, 1) with which all samples that are counted belong to the run
 * @returns samples of the run, the newest counted; 0 where it is in no run that is sure enough
 */
export async function newestRun(agreement: Agreement, confidence: number): Promise<number> {
  const { rows } = agreement;
  const earliest = Math.max(0, rows - MAX_REACH);
  const filters = CHANGE_RATES.map(() => new Float64Array(rows - earliest));
  const longRun = CHANGE_RATES.map(() => 0);
  const balanced = CHANGE_RATES.map(() => 0);
  const masses = CHANGE_RATES.map(() => 1);
  const ratios = new Float64Array(rows - earliest);
  let pairs = 0;
  for (let row = earliest; row < rows; row++) {
    agreement.writeRatios(row, earliest, ratios);
    let total = 0;
    for (const [i, rate] of CHANGE_RATES.entries()) {
      const began = masses[i] * (row === earliest ? 1 : rate);
      const runs = filters[i];
      longRun[i] = longRun[i] * (1 - rate) + began * SHUFFLED_PRIOR;
      balanced[i] = (balanced[i] * (1 - rate) + began * SHUFFLED_PRIOR) * agreement.balances[row];
      let mass = longRun[i] + balanced[i];
      for (let begin = 0; begin < row - earliest; begin++) mass += runs[begin] *= (1 - rate) * ratios[begin];
      mass += runs[row - earliest] = began * RUN_PRIOR;
      total += masses[i] = mass;
    }
    for (const [i, runs] of filters.entries()) {
      longRun[i] /= total;
      balanced[i] /= total;
      masses[i] /= total;
      for (let begin = 0; begin <= row - earliest; begin++) runs[begin] /= total;
    }
    pairs += row - earliest;
    if (pairs < PAIRS_A_TURN) continue;
    pairs = 0;
    await nextTurn();
  }
  let sure = 0;
  for (let begin = 0; begin < rows - earliest; begin++) {
    for (const runs of filters) sure += runs[begin];
    if (sure >= confidence) return rows - earliest - begin;
  }
  return 0;
}
