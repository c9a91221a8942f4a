import type { Grouping, Row } from './row.js';

/** The rows in which LAME must show what it is for, and what it must not cost. */
export interface Target {
  readonly text: string;
  /** Whether a row is one that the target is about. */
  readonly covers: (row: Row) => boolean;
  /** The least change of accuracy, in points. */
  readonly least: number;
}

/** The shifts that count: those that bring the base model into this range, in percent. */
const SHIFTED_FROM = 60;
const SHIFTED_TO = 75;

export function isShifted(base: number): boolean {
  return base >= SHIFTED_FROM && base <= SHIFTED_TO;
}

const LEAST_GAINS = new Map<Grouping, number>([
  [64, 8],
  [16, 12],
  ['stream', 4],
]);

export const TARGETS: readonly Target[] = [
  ...[...LEAST_GAINS].map(([grouping, least]) => ({
    text: `knn in runs, base at ${SHIFTED_FROM} to ${SHIFTED_TO} %, ${nameOf(grouping)}: at least +${least} points`,
    covers: (row: Row) =>
      row.affinity === 'knn' &&
      row.order === 'runs of 40' &&
      row.grouping === grouping &&
      isShifted(row.base),
    least,
  })),
  {
    text: 'knn, shuffled and clean, each batch size: at most 2 points lost',
    covers: ({ affinity, order, level, grouping }) =>
      affinity === 'knn' && order === 'shuffled' && level === 0 && grouping !== 'stream',
    least: -2,
  },
];

/** `batch 64`, or `stream`. */
export function nameOf(grouping: Grouping): string {
  return grouping === 'stream' ? 'stream' : `batch ${grouping}`;
}

/** A line for each target, and whether all are met. A target that no row is about is not met. */
export function judge(rows: readonly Row[]): { lines: string[]; met: boolean } {
  let met = true;
  const lines = TARGETS.map(({ text, covers, least }) => {
    const gains = rows.filter(covers).map(({ base, adapted }) => adapted - base);
    if (gains.length === 0) {
      met = false;
      return `MISS  ${text} (no row of the table is about it)`;
    }
    const worst = Math.min(...gains);
    if (worst < least) met = false;
    return `${worst >= least ? 'PASS' : 'MISS'}  ${text}: ${signed(worst)} at worst of ${gains.length} row(s)`;
  });
  return { lines, met };
}

/** A number with its sign and one decimal. */
export function signed(value: number): string {
  return `${value < 0 ? '' : '+'}${value.toFixed(1)}`;
}
