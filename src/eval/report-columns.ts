import type { Cell, ReportInterval } from './report-schema.js';

const ALWAYS = ['condition', 'method', 'accuracy %', 'gain, points'] as const;

/**
 * The columns of a table of cells: those that have something to show.
 * @returns their heads; see docs/eval.md for what they mean
 */
export function columnsOf(cells: readonly Cell[]): string[] {
  return [
    ...ALWAYS,
    ...(cells.some(({ metrics }) => metrics.auroc) ? ['AUROC'] : []),
    ...['ECE, points', 'log loss', 'changed %'],
    ...(cells.some(({ alpha }) => alpha) ? ['alpha'] : []),
    ...(cells.some(({ radius }) => radius) ? ['radius'] : []),
    'ms a sample',
  ];
}

/** A cell's texts for the given columns. */
export function cellRow(cell: Cell, columns: readonly string[]): string[] {
  const { metrics, gain, alpha, radius } = cell;
  const texts: Record<string, string> = {
    condition: cell.condition,
    method: cell.method,
    'accuracy %': interval(metrics.accuracy, percent),
    'gain, points': gain === undefined ? '' : interval(gain.accuracy, signedPoints),
    AUROC: metrics.auroc === undefined ? '' : interval(metrics.auroc, (value) => value.toFixed(3)),
    'ECE, points': interval(metrics.calibrationError, percent),
    'log loss': interval(metrics.logLoss, (value) => value.toFixed(3)),
    'changed %': percent(cell.changed),
    alpha: alpha === undefined ? '' : alpha.mean.toFixed(3),
    radius: radius === undefined ? '' : `${radius.mean.toFixed(3)}, above 0: ${percent(radius.positive)} %`,
    'ms a sample': cell.msPerSample.toFixed(2),
  };
  return columns.map((column) => texts[column]);
}

/** A share as percent, without the sign. */
export function percent(share: number): string {
  return (100 * share).toFixed(1);
}

/** A difference of shares as points, with its sign. */
export function signedPoints(share: number): string {
  return `${share < 0 ? '' : '+'}${percent(share)}`;
}

function interval({ value, low, high }: ReportInterval, text: (value: number) => string): string {
  const known = (number: number | null): string => (number === null ? '?' : text(number));
  return low === null && high === null ? known(value) : `${known(value)} [${known(low)}, ${known(high)}]`;
}
