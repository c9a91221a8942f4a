import type { Scored, Weights } from './scored.js';

/**
 * Area under the receiver operating characteristic, for two classes: how likely a sample of class 1 has a higher
 * probability of class 1 than one of class 0; equal ones count half (Mann and Whitney).
 * @returns in [0, 1]; undefined with other than two classes; NaN where a class has no sample
 */
export function aurocOf({ ranked }: Scored, weights?: Weights): number | undefined {
  if (ranked === undefined) return undefined;
  const { order, score, labels } = ranked;
  let [below, wins, positives] = [0, 0, 0];
  for (let begin = 0; begin < order.length;) {
    let end = begin;
    let [tiedNegatives, tiedPositives] = [0, 0];
    for (; end < order.length && score[order[end]] === score[order[begin]]; end++) {
      const weight = weights === undefined ? 1 : weights[order[end]];
      if (labels[order[end]] === 1) tiedPositives += weight;
      else tiedNegatives += weight;
    }
    wins += tiedPositives * (below + tiedNegatives / 2);
    below += tiedNegatives;
    positives += tiedPositives;
    begin = end;
  }
  return wins / (positives * below);
}
