/** A matrix, row by row. */
export type Rows = readonly (readonly number[])[];

/**
 * The minimal filtering algorithm F(m, 3): m outputs of a filter of 3 taps from n = m + 2 multiplications, where the
 * filter itself needs 3 m. `y = output · ((filter · g) ∘ (input · d))`, with ∘ the product number by number.
 */
export interface MinimalFiltering {
  /** Outputs of one application. */
  readonly outputs: number;
  /** Numbers that one application reads, and multiplications of it. */
  readonly positions: number;
  /** `[n, 3]`: what is made of the filter g, once. */
  readonly filter: Rows;
  /** `[n, n]`: what is made of the signal d. */
  readonly input: Rows;
  /** `[m, n]`: what the products are put together with. */
  readonly output: Rows;
}

/** Where the polynomials are evaluated, besides infinity: small numbers, which lose the fewest digits. */
const POINTS = [0, 1, -1, 2, -2];

/**
 * The matrices of F(m, 3) (Winograd, 1980; Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR
 * 2016, section 4.1), by the construction of Toom and Cook: a filter is the transpose of a product of polynomials,
 * which is known by its values at n - 1 points and at infinity.
 * @param outputs - m, from 1 to 4: with each more output, float32 loses some precision
 */
export function minimalFiltering(outputs: number): MinimalFiltering {
  const positions = outputs + 2;
  const points = POINTS.slice(0, positions - 1);
  const others = (at: number): number[] => points.filter((_, index) => index !== at);
  const powers = (point: number, count: number): number[] =>
    Array.from({ length: count }, (_, power) => point ** power);
  const last = (count: number): number[] =>
    Array.from({ length: count }, (_, index) => (index === count - 1 ? 1 : 0));
  return {
    outputs,
    positions,
    filter: [
      ...points.map((point, at) => {
        const scale = others(at).reduce((product, other) => product * (point - other), 1);
        return powers(point, 3).map((power) => power / scale);
      }),
      last(3),
    ],
    input: [...points.map((_, at) => [...polynomial(others(at)), 0]), polynomial(points)],
    output: Array.from({ length: outputs }, (_, power) => [
      ...points.map((point) => point ** power),
      power === outputs - 1 ? 1 : 0,
    ]),
  };
}

/** The coefficients of the polynomial that has these roots, and 1 as its leading one; the constant comes first. */
function polynomial(roots: readonly number[]): number[] {
  return roots.reduce(
    (product, root) =>
      [...product, 0].map((_, power) => (product[power - 1] ?? 0) - root * (product[power] ?? 0)),
    [1],
  );
}
