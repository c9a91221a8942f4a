import type { SeededRandom } from '../runtime/seeded-random.js';

/**
 * A draw from the gamma distribution of scale 1 (Marsaglia and Tsang, "A Simple Method for Generating Gamma
 * Variables", 2000, with their section 6 for shapes below 1).
 * @param shape - above 0
 */
export function randomGamma(random: SeededRandom, shape: number): number {
  if (shape < 1) return randomGamma(random, shape + 1) * (1 - random.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = randomNormal(random);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

/**
 * A draw from the symmetric Dirichlet distribution: shares that sum to 1.
 * @param delta - above 0; the smaller, the more of the whole lies in few shares
 * @param count - how many shares, at least 1
 */
export function randomShares(random: SeededRandom, delta: number, count: number): Float64Array {
  const shares = Float64Array.from({ length: count }, () => randomGamma(random, delta));
  const sum = shares.reduce((total, share) => total + share, 0);
  // Of a tiny delta every draw may underflow; in the limit one share has it all.
  if (sum === 0) shares[Math.floor(random.uniform() * count)] = 1;
  return sum === 0 ? shares : shares.map((share) => share / sum);
}

/** Box and Muller's transform; one of its two normals is enough here. */
function randomNormal(random: SeededRandom): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
}
