import type { Calibration } from './calibrate.js';
import type { EvaluatedModel } from './evaluated-model.js';
import { LEAST_BLOCKS } from './metrics/bootstrap.js';
import { meanCorruptionError } from './metrics/corruption-error.js';
import type { EvalOptions } from './options.js';
import type { DecodedPictures } from './pictures.js';
import { recommend } from './recommend.js';
import { REPORT_VERSION, type Cell, type Report } from './report-schema.js';
import { isCorrelated } from './streams.js';

/** What a report is made of. */
export interface ReportParts {
  readonly options: EvalOptions;
  readonly model: EvaluatedModel;
  readonly pictures: DecodedPictures;
  readonly methods: readonly string[];
  readonly cells: readonly Cell[];
  readonly calibration?: Calibration;
  readonly ballast: string;
}

/** Puts a report together. */
export function reportOf({
  options,
  model,
  pictures,
  methods,
  cells,
  calibration,
  ballast,
}: ReportParts): Report {
  const { name, version, provider, labels, config } = model.served;
  const classes = new Map<string, number>();
  for (const label of pictures.labels) classes.set(labels[label], (classes.get(labels[label]) ?? 0) + 1);
  return {
    schemaVersion: REPORT_VERSION,
    ballast,
    model: {
      ...{ name, version, provider },
      classes: labels.length,
      temperature: config.calibration.temperature,
    },
    data: {
      source: options.data,
      samples: pictures.labels.length,
      classes: Object.fromEntries(classes),
      skipped: [...pictures.skipped],
      digest: pictures.digest,
    },
    seed: options.seed,
    conditions: options.conditions.map((condition) => condition.name),
    streams: options.streams.map((stream) => stream.name),
    batches: [...options.batches],
    methods: [...methods],
    cells: [...cells],
    corruptionErrors: corruptionErrorsOf(cells),
    ...(calibration && { calibration }),
    recommendation: recommend(cells),
    notes: notesOf(options, pictures, cells, calibration),
  };
}

/** The mean corruption error of each method in each kind of traffic, where corruptions were measured. */
function corruptionErrorsOf(cells: readonly Cell[]): Report['corruptionErrors'] {
  const corrupted = cells.filter(({ condition }) => condition.includes(':'));
  const groups = new Map<string, Cell[]>();
  for (const cell of corrupted) {
    const key = JSON.stringify([cell.stream, cell.batch, cell.method]);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  return [...groups.values()].flatMap((group) => {
    const [{ stream, batch, method }] = group;
    const value = meanCorruptionError(
      group.map((cell) => {
        const error = 1 - cell.metrics.accuracy.value!;
        return {
          corruption: cell.condition.split(':')[0],
          error,
          base: error + (cell.gain?.accuracy.value ?? 0),
        };
      }),
    );
    return value === undefined ? [] : [{ stream, batch, method, value }];
  });
}

function notesOf(
  { streams, batches }: EvalOptions,
  { skipped, labels }: DecodedPictures,
  cells: readonly Cell[],
  calibration: Calibration | undefined,
): string[] {
  const blocks = streams.filter((stream) => isCorrelated(stream) || stream.kind === 'mixed');
  return [
    'Intervals are 95 % percentile bootstrap intervals of 1,000 draws; gains over the base model are paired.',
    ...(blocks.length === 0
      ? []
      : [
          `In ${blocks.map(({ name }) => name).join(', ')} whole runs and segments are drawn, not single pictures, since neighbours tend to be right or wrong together (block bootstrap).`,
        ]),
    ...(cells.some(({ metrics }) => metrics.accuracy.low === null)
      ? [
          `Where a stream has fewer than ${LEAST_BLOCKS} runs or segments no interval is told; take more samples.`,
        ]
      : []),
    ...(batches.includes(1)
      ? ['Requests of 1 are a stream: pictures one by one, LAME with the window that model.yaml gives it.']
      : []),
    'Milliseconds are medians from tensor to answer, requests one after the other, on this machine as busy as it was.',
    ...(skipped.length === 0
      ? []
      : [
          `${skipped.length} of ${skipped.length + labels.length} files could not be read as pictures and were skipped.`,
        ]),
    ...(calibration?.written
      ? [
          'The temperature was fitted on half of these pictures; calibration errors of the cells are of all of them.',
        ]
      : []),
  ];
}
