/** What one contender did in one round. */
export interface Measurement {
  readonly imagesPerSecond: number;
  /** Milliseconds from request to whole answer; undefined for the floor, which has no requests. */
  readonly p50?: number;
  readonly p99?: number;
  /** Share of one core that the load generator took. */
  readonly loadShare?: number;
}

/** The median of each figure over the rounds. */
export function medianOf(rounds: readonly Measurement[]): Measurement {
  const of = (read: (round: Measurement) => number | undefined): number | undefined => {
    const values = rounds.map(read).filter((value) => value !== undefined);
    return values.length === 0 ? undefined : median(values);
  };
  return {
    imagesPerSecond: of(({ imagesPerSecond }) => imagesPerSecond)!,
    p50: of(({ p50 }) => p50),
    p99: of(({ p99 }) => p99),
    loadShare: of(({ loadShare }) => loadShare),
  } as Measurement;
}

/** The value in the middle; the mean of the two in the middle of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The value that a share of all values stays below. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
