/** The error of a method and of the base model under one corruption at one severity. */
export interface ErrorPair {
  /** The corruption's name, without its severity. */
  readonly corruption: string;
  /** Share of wrong answers of the method, in [0, 1]. */
  readonly error: number;
  /** The same of the base model, on the same pictures in the same order. */
  readonly base: number;
}

/**
 * Mean corruption error (Hendrycks and Dietterich, ICLR 2019, section 4.2), with the base model in place of AlexNet:
 * for each corruption the method's errors summed over the severities that were measured, divided by the base model's
 * errors summed over the same; then the mean over the corruptions. Clean pictures take no part.
 * @param pairs - any number of severities each; clean pictures left out
 * @returns 1 for the base model, below 1 where a method makes fewer mistakes; undefined where nothing was measured, or
 *   the base model makes no mistake under some corruption
 */
export function meanCorruptionError(pairs: readonly ErrorPair[]): number | undefined {
  const sums = new Map<string, { error: number; base: number }>();
  for (const { corruption, error, base } of pairs) {
    const sum = sums.get(corruption) ?? { error: 0, base: 0 };
    sums.set(corruption, { error: sum.error + error, base: sum.base + base });
  }
  const ratios = [...sums.values()].map(({ error, base }) => error / base);
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  return Number.isFinite(mean) ? mean : undefined;
}
