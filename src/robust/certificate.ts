import { normalQuantile } from './normal.js';

/**
 * Radius within which the mixed class cannot change, where the robust classifier's probabilities have a known
 * Lipschitz constant: `max(0, α m + α - 1) / (2 α L)` with the margin m (Bai et al., 2023, theorem 3.5). An alpha of
 * 1/2 or less certifies nothing.
 * @param first - the robust classifier's greatest probability
 * @param second - its second greatest
 * @param alpha - the least that alpha can be
 * @param lipschitz - L, in the norm that the radius is in
 */
export function lipschitzRadius(first: number, second: number, alpha: number, lipschitz: number): number {
  if (!(alpha > 0)) return 0;
  return Math.max(0, alpha * (first - second) + alpha - 1) / (2 * alpha * lipschitz);
}

/**
 * L2 radius within which the mixed class cannot change, where the robust classifier is smoothed by Gaussian noise:
 * `σ/2 max(0, Φ⁻¹(α h₁) - Φ⁻¹(α h₂ + 1 - α))` (Bai et al., 2023, theorem 3.7).
 * @param first - at most the robust classifier's probability of its class
 * @param second - at least that of every other class
 * @param alpha - the least that alpha can be
 * @param sigma - deviation of the noise
 */
export function gaussianRadius(first: number, second: number, alpha: number, sigma: number): number {
  if (!(alpha > 0)) return 0;
  const above = normalQuantile(alpha * first);
  const below = normalQuantile(Math.min(1, alpha * second + 1 - alpha));
  return above > below ? (sigma / 2) * (above - below) : 0;
}
