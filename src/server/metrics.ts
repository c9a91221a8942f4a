import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import {
  TIMED,
  type BatchResult,
  type PipelineObserver,
  type TrafficReading,
  type TrafficSource,
} from '../pipeline/batch.js';
import type { Verdict } from '../deepfake/verdict.js';
import type { Models } from '../pipeline/serving.js';
import type { Matrix } from '../runtime/tensor.js';
import { ChangedText, RecentText } from './metrics-text.js';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const SAMPLES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const ITERATIONS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 200, 1000];
const SCORES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1];
const PROBABILITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];

/** Why a request was turned away. */
export type Rejection = Parameters<PipelineObserver['rejected']>[0];

/**
 * The metrics of one server, in registries of their own. Labels are bounded: models are those of the repository,
 * routes are templates, and nothing that a client chooses becomes a label.
 */
export class Metrics implements PipelineObserver {
  /** What is counted as it happens. */
  private readonly counts = new Registry();
  /** What is read off the models when metrics are asked for. */
  private readonly readings = new Registry();
  private readonly countsText = new ChangedText(this.counts);
  private readonly processText: RecentText;
  private readonly delaysText: RecentText;
  private readonly requests: Counter<'model' | 'route' | 'code'>;
  private readonly requestSeconds: Histogram<'model' | 'route'>;
  private readonly queueSeconds: Histogram<'model'>;
  private readonly stageSeconds: Histogram<'model' | 'stage'>;
  private readonly batchSize: Histogram<'model'>;
  private readonly rejections: Counter<'reason'>;
  private readonly lameIterations: Histogram<'model'>;
  private readonly lameChanged: Counter<'model'>;
  private readonly smoothingAlpha: Histogram<'model'>;
  private readonly missing: Counter<'model' | 'modality'>;
  private readonly unset: Counter<'model'>;
  private readonly queries: Counter<'model' | 'purpose'>;
  private readonly confidence: Histogram<'model' | 'output'>;
  private readonly deepfakeScore: Histogram<'model'>;
  private readonly verdicts: Counter<'model' | 'media' | 'verdict'>;
  private readonly traffic = new Set<TrafficSource>();

  constructor() {
    const process = new Registry();
    collectDefaultMetrics({ register: process });
    // Each reading of the event loop's delays is of the time since the one before: what nobody reads is lost.
    const delays = new Registry();
    for (const metric of process.getMetricsAsArray()) {
      if (!metric.name.startsWith('nodejs_eventloop_lag')) continue;
      delays.registerMetric(process.getSingleMetric(metric.name)!);
      process.removeSingleMetric(metric.name);
    }
    this.processText = new RecentText(process);
    this.delaysText = new RecentText(delays, false);
    const registers = [this.counts];
    this.requests = new Counter({
      name: 'ballast_requests_total',
      help: 'Requests answered; code 499: the client left before its answer',
      labelNames: ['model', 'route', 'code'],
      registers,
    });
    this.requestSeconds = new Histogram({
      name: 'ballast_request_duration_seconds',
      help: 'From the request line to the last byte of the answer',
      labelNames: ['model', 'route'],
      buckets: SECONDS,
      registers,
    });
    this.queueSeconds = new Histogram({
      name: 'ballast_queue_duration_seconds',
      help: 'Waiting for a forward pass',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    });
    this.stageSeconds = new Histogram({
      name: 'ballast_stage_duration_seconds',
      help: 'Stages of the pipeline, a request',
      labelNames: ['model', 'stage'],
      buckets: SECONDS,
      registers,
    });
    this.batchSize = new Histogram({
      name: 'ballast_batch_size',
      help: 'Samples in a forward pass, requests merged',
      labelNames: ['model'],
      buckets: SAMPLES,
      registers,
    });
    this.rejections = new Counter({
      name: 'ballast_rejected_total',
      help: 'Requests turned away: a full queue, a passed deadline, a server that stops, too large a body',
      labelNames: ['reason'],
      registers,
    });
    this.lameIterations = new Histogram({
      name: 'ballast_lame_iterations',
      help: 'Steps until LAME came to rest',
      labelNames: ['model'],
      buckets: ITERATIONS,
      registers,
    });
    this.lameChanged = new Counter({
      name: 'ballast_lame_changed_total',
      help: 'Samples whose class LAME changed',
      labelNames: ['model'],
      registers,
    });
    this.smoothingAlpha = new Histogram({
      name: 'ballast_smoothing_alpha',
      help: 'Weight of the robust classifier, a sample',
      labelNames: ['model'],
      buckets: PROBABILITIES,
      registers,
    });
    this.missing = new Counter({
      name: 'ballast_missing_modality_total',
      help: 'Samples of which an input did not arrive',
      labelNames: ['model', 'modality'],
      registers,
    });
    this.unset = new Counter({
      name: 'ballast_modulation_unset_total',
      help: 'Samples that lack an input and got no scales and shifts, since the model has none for what arrived',
      labelNames: ['model'],
      registers,
    });
    this.queries = new Counter({
      name: 'ballast_prompt_queries_total',
      help: 'Pictures that a classifier was asked about to fit a prompt, or, where it is remote, to serve',
      labelNames: ['model', 'purpose'],
      registers,
    });
    this.confidence = new Histogram({
      name: 'ballast_prediction_confidence',
      help: 'Probability of the most probable class; base: the model alone, adapted: what was answered',
      labelNames: ['model', 'output'],
      buckets: PROBABILITIES,
      registers,
    });
    this.deepfakeScore = new Histogram({
      name: 'ballast_deepfake_score',
      help: 'Probability of fake of a picture or video in which a face was found',
      labelNames: ['model'],
      buckets: SCORES,
      registers,
    });
    this.verdicts = new Counter({
      name: 'ballast_deepfake_verdicts_total',
      help: 'Pictures and videos judged, by what was said of them',
      labelNames: ['model', 'media', 'verdict'],
      registers,
    });
    this.gaugeTraffic(
      'ballast_class_diversity',
      'Effective number of classes that recent samples are predicted to be of, over the number of classes',
      ({ diversity }) => diversity,
    );
    this.gaugeTraffic(
      'ballast_feature_drift',
      'Distance of recent features from the reference, over what chance exceeds in one window of a hundred',
      ({ drift }) => drift,
    );
    for (const reason of ['queue-full', 'deadline', 'draining', 'too-large'] as const) {
      this.changed(this.rejections).inc({ reason }, 0);
    }
  }

  /** The media type of `text`. */
  get contentType(): string {
    return this.counts.contentType;
  }

  /** All metrics in Prometheus' text format; those of the process and of Node may be five seconds old. */
  async text(): Promise<string> {
    const kept = (await this.processText.read()) + (await this.delaysText.read());
    return (await this.countsText.read()) + kept + (await this.readings.metrics());
  }

  /** Adds the gauges that are read off the repository when metrics are asked for. */
  watch(models: Models): void {
    const registers = [this.readings];
    new Gauge({
      name: 'ballast_queue_depth',
      help: 'Samples that wait for a forward pass',
      labelNames: ['model'],
      registers,
      collect() {
        this.reset();
        for (const [model, depth] of models.queueDepths()) this.set({ model }, depth);
      },
    });
    new Gauge({
      name: 'ballast_streams',
      help: 'Stream windows kept',
      registers,
      collect() {
        this.set(models.streams.size);
      },
    });
    new Gauge({
      name: 'ballast_model_info',
      help: '1 for each model that answers; where it runs is a label',
      labelNames: ['model', 'version', 'provider'],
      registers,
      collect() {
        this.reset();
        for (const { name, version, state } of models.index()) {
          if (state !== 'READY') continue;
          this.set({ model: name, version, provider: models.get(name, version).provider }, 1);
        }
      },
    });
  }

  /** A request was answered. */
  request(model: string, route: string, code: number, seconds: number): void {
    this.changed(this.requests).inc({ model, route, code }, 1);
    this.changed(this.requestSeconds).observe({ model, route }, seconds);
  }

  forward(model: string, samples: number): void {
    this.changed(this.batchSize).observe({ model }, samples);
  }

  queued(model: string, seconds: number): void {
    this.changed(this.queueSeconds).observe({ model }, seconds);
  }

  rejected(reason: Rejection): void {
    this.changed(this.rejections).inc({ reason }, 1);
  }

  promptQueries(model: string, purpose: 'fit' | 'serve', pictures: number): void {
    this.changed(this.queries).inc({ model, purpose }, pictures);
  }

  /** A picture or a video was judged. */
  judged(model: string, media: 'image' | 'video', verdict: Verdict, score: number | undefined): void {
    this.changed(this.verdicts).inc({ model, media, verdict }, 1);
    if (score !== undefined) this.changed(this.deepfakeScore).observe({ model }, score);
  }

  answered(model: string, result: BatchResult): void {
    for (const stage of TIMED) {
      const milliseconds = result.timings[stage];
      if (milliseconds !== undefined)
        this.changed(this.stageSeconds).observe({ model, stage }, milliseconds / 1000);
    }
    if (result.lame) {
      this.changed(this.lameIterations).observe({ model }, result.lame.iterations);
      this.changed(this.lameChanged).inc({ model }, result.lame.changed);
    }
    for (const modality of result.modulation?.missing.flat() ?? [])
      this.changed(this.missing).inc({ model, modality }, 1);
    const unset = result.modulation?.unset.filter((combination) => combination !== undefined) ?? [];
    if (unset.length > 0) this.changed(this.unset).inc({ model }, unset.length);
    for (const alpha of result.alpha ?? []) this.changed(this.smoothingAlpha).observe({ model }, alpha);
    if (result.base) this.observeConfidence(model, 'base', result.base);
    if (result.probabilities) this.observeConfidence(model, 'adapted', result.probabilities);
  }

  watchTraffic(source: TrafficSource): () => void {
    this.traffic.add(source);
    return () => this.traffic.delete(source);
  }

  /** @returns a metric of `counts`, to be changed at once: without this call its new value would not show. */
  private changed<M extends object>(metric: M): M {
    this.countsText.changed(metric);
    return metric;
  }

  /** Adds a gauge that is read when metrics are asked for: of each model the highest version with something to tell. */
  private gaugeTraffic(
    name: string,
    help: string,
    valueOf: (reading: TrafficReading) => number | undefined,
  ): void {
    const { traffic } = this;
    new Gauge({
      name,
      help,
      labelNames: ['model'],
      registers: [this.readings],
      collect() {
        this.reset();
        // While a model is loaded again its old version is watched beside the new one, which comes after it.
        const inOrder = [...traffic].sort((a, b) => Number(a.version) - Number(b.version));
        for (const source of inOrder) {
          const value = valueOf(source.read());
          if (value !== undefined) this.set({ model: source.name }, value);
        }
      },
    });
  }

  private observeConfidence(model: string, output: 'base' | 'adapted', matrix: Matrix): void {
    const { data, rows, cols } = matrix;
    const labels = { model, output };
    const confidence = this.changed(this.confidence);
    for (let row = 0; row < rows; row++) {
      let max = 0;
      for (let i = row * cols; i < (row + 1) * cols; i++) if (data[i] > max) max = data[i]!;
      confidence.observe(labels, max);
    }
  }
}
