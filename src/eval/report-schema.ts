import { z } from 'zod';

/** Goes up with every change that a reader of report.json must know of. */
export const REPORT_VERSION = 1;

/** A value with its 95 % interval; null where there is no value, or too few runs for an interval. */
export const intervalSchema = z.strictObject({
  value: z.number().nullable(),
  low: z.number().nullable(),
  high: z.number().nullable(),
});

const spreadSchema = z.strictObject({
  mean: z.number(),
  least: z.number(),
  median: z.number(),
  greatest: z.number(),
  /** Share of the samples above 0. */
  positive: z.number(),
});

/** The metrics of one method, or their differences to the base model's. */
export const metricsSchema = z.strictObject({
  /** Share of right answers, in [0, 1]. */
  accuracy: intervalSchema,
  /** Of two classes: area under the ROC curve, in [0, 1]. */
  auroc: intervalSchema.optional(),
  /** Mean negative log-likelihood, in nats. */
  logLoss: intervalSchema,
  /** Expected calibration error with 15 bins, in [0, 1]. */
  calibrationError: intervalSchema,
});

/** One method under one condition, in one order of arrival, at one size of request. */
export const cellSchema = z.strictObject({
  condition: z.string(),
  stream: z.string(),
  /** Samples a request; 1 is a stream. */
  batch: z.int().min(1),
  method: z.string(),
  metrics: metricsSchema,
  /** Method minus base, sample by sample paired; undefined for the base model. */
  gain: metricsSchema.optional(),
  /** Weight of the robust classifier, where it was mixed. */
  alpha: spreadSchema.optional(),
  /** Certified radius, where there are certificates that need no further passes. */
  radius: spreadSchema.optional(),
  /** Share of the samples that are answered otherwise than by the base model. */
  changed: z.number(),
  /** Milliseconds a sample from tensor to answer: medians of requests one after the other. */
  msPerSample: z.number(),
});

const surenessSchema = z.strictObject({
  temperature: z.number(),
  calibrationError: z.number(),
  logLoss: z.number(),
});

/** What is advised for one kind of traffic. */
export const adviceSchema = z.strictObject({
  stream: z.string(),
  batch: z.int().min(1),
  /** `base` where adaptation is better left off. */
  method: z.string(),
  /** Mean gain in accuracy over the conditions, and the mean of its bounds; null for `base`. */
  gain: intervalSchema.nullable(),
  reason: z.string(),
});

export const recommendationSchema = z.strictObject({
  /** In a sentence. */
  summary: z.string(),
  /** What model.yaml should switch on for all traffic that was measured together; `base` for none. */
  method: z.string(),
  /** Whether LAME is for requests and streams, or for streams alone; undefined where it is off. */
  lameScope: z.enum(['request', 'stream']).optional(),
  /** Text to put into model.yaml. */
  fragment: z.string(),
  traffic: z.array(adviceSchema),
});

/** report.json. */
export const reportSchema = z.strictObject({
  schemaVersion: z.literal(REPORT_VERSION),
  ballast: z.string(),
  model: z.strictObject({
    name: z.string(),
    version: z.string(),
    provider: z.string(),
    classes: z.int(),
    temperature: z.number(),
  }),
  data: z.strictObject({
    source: z.string(),
    samples: z.int(),
    /** Samples of each class. */
    classes: z.record(z.string(), z.int()),
    /** Files that could not be read as pictures. */
    skipped: z.array(z.strictObject({ file: z.string(), reason: z.string() })),
    digest: z.string(),
  }),
  seed: z.int(),
  conditions: z.array(z.string()),
  streams: z.array(z.string()),
  batches: z.array(z.int()),
  methods: z.array(z.string()),
  cells: z.array(cellSchema),
  /** Mean corruption error against the base model: 1 is as many mistakes as that. */
  corruptionErrors: z.array(
    z.strictObject({ stream: z.string(), batch: z.int(), method: z.string(), value: z.number() }),
  ),
  calibration: z
    .strictObject({
      fittedOn: z.int(),
      judgedOn: z.int(),
      before: surenessSchema,
      after: surenessSchema,
      written: z.boolean(),
    })
    .optional(),
  recommendation: recommendationSchema,
  /** What a reader should know of how it was measured. */
  notes: z.array(z.string()),
});

export type Report = z.infer<typeof reportSchema>;
export type Cell = z.infer<typeof cellSchema>;
export type CellMetrics = z.infer<typeof metricsSchema>;
export type ReportInterval = z.infer<typeof intervalSchema>;
export type Recommendation = z.infer<typeof recommendationSchema>;
export type Advice = z.infer<typeof adviceSchema>;
