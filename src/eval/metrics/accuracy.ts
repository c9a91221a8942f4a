import type { Scored, Weights } from './scored.js';

/** Share of the answers that are right, in [0, 1]. */
export function accuracyOf({ right }: Scored, weights?: Weights): number {
  let [hits, total] = [0, 0];
  for (let i = 0; i < right.length; i++) {
    const weight = weights === undefined ? 1 : weights[i];
    hits += weight * right[i];
    total += weight;
  }
  return hits / total;
}
