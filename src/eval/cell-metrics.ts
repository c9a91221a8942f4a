import { accuracyOf } from './metrics/accuracy.js';
import { aurocOf } from './metrics/auroc.js';
import { bootstrap, type Interval } from './metrics/bootstrap.js';
import { calibrationErrorOf } from './metrics/calibration-error.js';
import { logLossOf } from './metrics/log-loss.js';
import { scoredOf, type Scored, type Weights } from './metrics/scored.js';
import { spreadOf } from './metrics/spread.js';
import type { Outcome } from './outcome.js';
import type { Cell, CellMetrics, ReportInterval } from './report-schema.js';
import type { Arrival } from './streams.js';

/** One method's answers in one group of cells. */
export interface Answered {
  readonly method: string;
  readonly outcome: Outcome;
  readonly msPerSample: number;
}

/** What the methods of a group have in common. */
export interface CellGroup {
  readonly condition: string;
  readonly stream: string;
  readonly batch: number;
  readonly arrival: Arrival;
  /** True classes by sample, `[N]`. */
  readonly labels: Uint32Array;
  /** K. */
  readonly classes: number;
  readonly seed: number;
}

type Statistic = (weights: Weights) => number;

/**
 * The cells of one condition, stream and size of request, a cell each method.
 * @param answers - the base model's first
 */
export async function cellsOf(group: CellGroup, answers: readonly Answered[]): Promise<Cell[]> {
  const { condition, stream, batch, arrival, labels, classes, seed } = group;
  const statistics = answers.map(({ outcome }) => statisticsOf(scoredOf(outcome, labels, classes)));
  const [base] = statistics;
  // All in one go: the same draws make differences paired ones.
  const intervals = await bootstrap(
    arrival,
    statistics.flatMap((own, i) => (i === 0 ? own : [...own, ...own.map((one, m) => less(one, base[m]))])),
    seed,
  );
  let next = 0;
  return answers.map(({ method, outcome, msPerSample }, i): Cell => {
    const take = (): CellMetrics => metricsOf(intervals.slice(next, (next += base.length)));
    const { alpha, radius, predicted } = outcome;
    const changed = predicted.filter((answer, sample) => answer !== answers[0].outcome.predicted[sample]);
    return {
      ...{ condition, stream, batch, method },
      metrics: take(),
      ...(i > 0 && { gain: take() }),
      ...(alpha && { alpha: spreadOf(alpha) }),
      ...(radius && { radius: spreadOf(radius) }),
      changed: changed.length / predicted.length,
      msPerSample,
    };
  });
}

function statisticsOf(scored: Scored): Statistic[] {
  return [
    (weights) => accuracyOf(scored, weights),
    (weights) => logLossOf(scored, weights),
    (weights) => calibrationErrorOf(scored, weights),
    ...(scored.ranked === undefined ? [] : [(weights: Weights) => aurocOf(scored, weights)!]),
  ];
}

function less(one: Statistic, other: Statistic): Statistic {
  return (weights) => one(weights) - other(weights);
}

function metricsOf(intervals: readonly Interval[]): CellMetrics {
  const [accuracy, logLoss, calibrationError, auroc] = intervals.map(jsonOf);
  return { accuracy, ...(intervals.length > 3 && { auroc }), logLoss, calibrationError };
}

/** JSON knows no NaN. */
function jsonOf({ value, low, high }: Interval): ReportInterval {
  const known = (number: number): number | null => (Number.isFinite(number) ? number : null);
  return { value: known(value), low: known(low), high: known(high) };
}
