import type { Scored, Weights } from './scored.js';

/** Mean negative log-likelihood of the true classes, in nats; the lower the better. */
export function logLossOf({ logLoss }: Scored, weights?: Weights): number {
  let [sum, total] = [0, 0];
  for (let i = 0; i < logLoss.length; i++) {
    const weight = weights === undefined ? 1 : weights[i];
    sum += weight * logLoss[i];
    total += weight;
  }
  return sum / total;
}
