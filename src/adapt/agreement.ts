import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Matrix } from '../runtime/tensor.js';

/** Classes of a sample that are compared: its most probable ones. Leaving the rest out only lowers an agreement. */
const COMPARED_CLASSES = 16;

/** Weight of the long-run shares in what a run is expected to show next, in samples. */
const PRIOR_SAMPLES = 1;

/** Probabilities that are read in one turn of the event loop: about two milliseconds. */
const CELLS_A_TURN = 2 ** 17;

/**
 * How much more often two samples agree on their class than samples in random order would:
 * a_ij = Σ_k q_ik q_jk / m_k, with m the long-run share of each class. Agreement on a rare class counts for more than
 * agreement on a class that the model names all the time. For samples drawn independently with shares m the mean of
 * a_ij is 1, whatever the model confuses, so that no threshold has to be tuned (see docs/lame-window.md).
 */
export class Agreement {
  readonly rows: number;
  /**
   * How much likelier each sample is where every class has an equal share than at the long-run shares:
   * Σ_k q_ik / (K m_k). After a long run m is skewed, and balanced traffic would look unlike it.
   */
  readonly balances: Float64Array;
  /** m `[K]`, see `longRunShares`. */
  readonly shares: Float64Array;
  private readonly classes: Int32Array;
  private readonly values: Float64Array;
  private readonly lifted: Float64Array;

  private constructor(
    private readonly probabilities: Matrix,
    private readonly kept: number,
  ) {
    const { rows, cols } = probabilities;
    this.rows = rows;
    this.classes = new Int32Array(rows * kept);
    this.values = new Float64Array(rows * kept);
    // Half a sample of each class: what Krichevsky and Trofimov add before anything is seen.
    this.shares = new Float64Array(cols).fill(0.5);
    this.lifted = new Float64Array(cols);
    this.balances = new Float64Array(rows);
  }

  /**
   * Reads the samples, over as many turns of the event loop as it takes.
   * @param probabilities - q `[N, K]` in order of arrival; rows sum to 1
   */
  static async of(probabilities: Matrix): Promise<Agreement> {
    const { rows, cols } = probabilities;
    const agreement = new Agreement(probabilities, Math.min(cols, COMPARED_CLASSES));
    const step = Math.max(1, Math.floor(CELLS_A_TURN / cols));
    for (let begin = 0; begin < rows; begin += step) {
      if (begin > 0) await nextTurn();
      for (let row = begin; row < Math.min(rows, begin + step); row++) agreement.read(row);
    }
    drawToEqual(agreement.shares, rows);
    for (let begin = 0; begin < rows; begin += step) {
      if (begin > 0) await nextTurn();
      for (let row = begin; row < Math.min(rows, begin + step); row++) agreement.balance(row);
    }
    return agreement;
  }

  /**
   * How much likelier a sample is as the next of the run that began at each earlier sample than as one of shuffled
   * traffic: ρ = (Σ_i a_i,row + 1) / (n + 1) over the n samples i of that run so far. Its mean under shuffled traffic is
   * 1, so that products of it are a martingale there.
   * @param row - the sample
   * @param first - the earliest beginning that is asked about
   * @param ratios - gets ρ for the beginnings `[first, row]`, the last of them 1
   */
  writeRatios(row: number, first: number, ratios: Float64Array): void {
    const { kept, classes, values, shares, lifted } = this;
    const end = (row + 1) * kept;
    for (let i = row * kept; i < end; i++) lifted[classes[i]] = values[i] / shares[classes[i]];
    ratios[row - first] = 1;
    let sum = PRIOR_SAMPLES;
    for (let begin = row - 1; begin >= first; begin--) {
      for (let i = begin * kept; i < (begin + 1) * kept; i++) sum += values[i] * lifted[classes[i]];
      ratios[begin - first] = sum / (row - begin + PRIOR_SAMPLES);
    }
    for (let i = row * kept; i < end; i++) lifted[classes[i]] = 0;
  }

  /** Insertion into a short sorted list: most classes are below its last and cost one comparison. */
  private read(row: number): void {
    const { kept, classes, values, shares, probabilities } = this;
    const { data, cols } = probabilities;
    const begin = row * kept;
    let filled = 0;
    for (let col = 0; col < cols; col++) {
      const value = data[row * cols + col];
      shares[col] += value;
      if (filled === kept && !(value > values[begin + kept - 1])) continue;
      let place = filled < kept ? filled++ : kept - 1;
      for (; place > 0 && values[begin + place - 1] < value; place--) {
        values[begin + place] = values[begin + place - 1];
        classes[begin + place] = classes[begin + place - 1];
      }
      values[begin + place] = value;
      classes[begin + place] = col;
    }
  }
  private balance(row: number): void {
    const { probabilities, shares, balances } = this;
    const { data, cols } = probabilities;
    let sum = 0;
    for (let col = 0; col < cols; col++) sum += data[row * cols + col] / shares[col];
    balances[row] = sum / cols;
  }
}

/**
 * Makes counts of classes the shares m that shuffled traffic would show: the counts in relation, drawn towards equal
 * shares until none is above twice its equal share, or 1/√K where that is less. A model that is biased names a class
 * up to twice too often; one that names it more often is in a run of it.
 * @param counts - `[K]`, of `rows` samples and half a sample of each class; becomes m, positive, of sum 1
 */
function drawToEqual(counts: Float64Array, rows: number): void {
  const total = rows + counts.length / 2;
  const equal = 1 / counts.length;
  const greatest = counts.reduce((max, count) => Math.max(max, count), 0) / total;
  const most = Math.min(Math.sqrt(equal), 2 * equal);
  const weight = greatest > most ? (most - equal) / (greatest - equal) : 1;
  for (const [k, count] of counts.entries()) counts[k] = equal + weight * (count / total - equal);
}
