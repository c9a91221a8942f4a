import type { Logger } from 'pino';
import { BallastError } from '../errors.js';
import { InferenceWorkers } from '../runtime/inference-workers.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import { providersToTry, type ProviderChoice } from '../runtime/providers.js';
import { planThreads } from '../runtime/thread-plan.js';
import type { TensorMap, TensorSpec } from '../runtime/tensor.js';
import type { BatchResult, PipelineObserver, RequestOptions } from './batch.js';
import { Batcher } from './batcher.js';
import { lameSchema, type ModelConfig } from './model-config.js';
import { mixtureOf } from './mixture-fit.js';
import { readModelBytes, weightBytes } from './model-bytes.js';
import type { ModelDefinition } from './model-file.js';
import { batchLimit, imageInputs, labelsOf, sampleShapes, tensorsOf } from './model-fit.js';
import { noisyVoterOf } from './noisy-voter.js';
import { runStages, type Stage } from './pipeline.js';
import type { EncodedInputs, ServedModel } from './serving.js';
import { AdaptStage, warmLame } from './stages/adapt.js';
import { CertifyStage } from './stages/certify.js';
import { DecodeStage } from './stages/decode.js';
import { ForwardStage } from './stages/forward.js';
import { SmoothStage } from './stages/smooth.js';
import type { StreamStore } from './streams.js';

/** What every model of a server shares. */
export interface ModelHost {
  /** Providers for models whose model.yaml names none. */
  readonly providers: readonly ProviderChoice[];
  /** Cores that this process may use. */
  readonly cores: number;
  /** Inference workers a model; planned where undefined. */
  readonly workers: number | undefined;
  /** Threads that one forward pass may use; planned where undefined. */
  readonly threads: number | undefined;
  /** Warm-up begins no further batch size after this many milliseconds. */
  readonly warmUpMs: number;
  readonly observer: PipelineObserver;
  readonly log: Logger;
  readonly streams: StreamStore;
}

/** A model whose workers are started: the stages that its requests go through. */
export class LoadedModel implements ServedModel {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  private inFlight = 0;
  private draining = false;
  private drained: () => void = () => undefined;

  private constructor(
    definition: ModelDefinition,
    readonly labels: readonly string[],
    readonly inputs: readonly TensorSpec[],
    readonly outputs: readonly TensorSpec[],
    private readonly workers: InferenceWorkers,
    private readonly batcher: Batcher,
    private readonly decode: DecodeStage,
    private readonly smooth: SmoothStage,
    private readonly stages: readonly Stage[],
    private readonly host: ModelHost,
  ) {
    this.name = definition.name;
    this.version = definition.version;
    this.config = definition.config;
  }

  /**
   * Starts the model's workers and waits until they are warm.
   * @throws BallastError invalid-model where the ONNX file and model.yaml do not fit each other; unavailable where
   *   a provider is missing
   */
  static async open(definition: ModelDefinition, host: ModelHost): Promise<LoadedModel> {
    const begin = performance.now();
    const { config, files, name, version } = definition;
    const bytes = await readModelBytes(files.classifier);
    const found = inspectModel(bytes, { logits: config.classifier.logits });
    const tensors = tensorsOf(config, found, name);
    const images = imageInputs(config, found.inputs, name);
    const batching = { ...config.batching, maxBatchSize: batchLimit(config, found.inputs, name) };
    const log = host.log.child({ model: name, version });
    const mixture = await mixtureOf(definition, found);
    const providers = config.providers ?? host.providers;
    const plan = planThreads({
      ...host,
      modelBytes: await weightBytes(files, found.externalData),
      onCpu: providersToTry(providers)[0] === 'cpu',
    });
    const workers = await InferenceWorkers.start(
      {
        file: files.classifier,
        expose: [tensors.logits, tensors.features, ...(mixture?.expose ?? [])].filter(
          (tensor) => tensor !== undefined,
        ),
        companions: mixture?.companions ?? [],
        providers,
        warmUp: {
          maxBatchSize: batching.maxBatchSize,
          sampleShapes: sampleShapes(config, images),
          budgetMs: host.warmUpMs,
        },
      },
      plan,
      (reason) => {
        log.error({ reason }, 'an inference worker died and was replaced');
      },
    );
    const { provider, failures } = workers.info;
    if (config.lame !== undefined && config.lame.scope !== 'off') await warmLame(config.lame);
    const batcher = new Batcher(name, workers, batching, host.observer);
    const lame = config.lame ?? lameSchema.parse({ scope: 'off' });
    const smooth = new SmoothStage(name, mixture);
    const voter = noisyVoterOf(name, mixture, images, workers);
    const model = new LoadedModel(
      definition,
      labelsOf(definition, found.classes),
      found.inputs,
      found.outputs,
      workers,
      batcher,
      new DecodeStage(images),
      smooth,
      [
        ...(voter === undefined ? [] : [new CertifyStage(voter, smooth)]),
        new ForwardStage(batcher, tensors, (options) => smooth.fetches(options)),
        ...(mixture === undefined ? [] : [smooth]),
        new AdaptStage(`${name}/${version}`, lame, host.streams),
      ],
      host,
    );
    if (failures.length > 0) log.warn({ failures }, `fell back to ${provider}`);
    log.info(
      {
        provider,
        ...tensors,
        classes: found.classes,
        smoothing: mixture?.config.mode ?? 'off',
        lame: config.lame === undefined ? 'off' : `${lame.affinity}, k ${lame.k}, scope ${lame.scope}`,
        ...plan,
        loadMs: Math.round(performance.now() - begin),
      },
      `model ${name} version ${version} runs on ${provider}`,
    );
    return model;
  }

  get provider(): string {
    return this.workers.info.provider;
  }

  /** Samples that wait for a forward pass. */
  get queueDepth(): number {
    return this.batcher.depth;
  }

  async predict(files: EncodedInputs, options: RequestOptions = {}): Promise<BatchResult> {
    if (this.config.task === 'raw') {
      throw new BallastError(
        'impossible',
        `Model "${this.name}" is of task raw: it takes tensors, at /v2/models/${this.name}/infer.`,
      );
    }
    const count = this.decode.countOf(files);
    return this.serve(count, options, [this.decode, ...this.stages], { files, inputs: {} });
  }

  async infer(inputs: TensorMap, options: RequestOptions = {}): Promise<BatchResult> {
    const count = Object.values(inputs)[0]?.dims[0] ?? 0;
    return this.serve(count, options, this.stages, { inputs });
  }

  /** Refuses new requests, waits for those in flight, then ends the workers. */
  async close(): Promise<void> {
    this.draining = true;
    if (this.inFlight > 0) await new Promise<void>((resolve) => (this.drained = resolve));
    await this.workers.close();
  }

  private async serve(
    count: number,
    options: RequestOptions,
    stages: readonly Stage[],
    begin: { readonly files?: EncodedInputs; readonly inputs: TensorMap },
  ): Promise<BatchResult> {
    if (this.draining) {
      this.host.observer.rejected('draining');
      throw new BallastError(
        'unavailable',
        `Model "${this.name}" is being taken out of service; try again.`,
        {
          retryAfterSeconds: 1,
        },
      );
    }
    this.smooth.check(options);
    const place = this.batcher.admit(count);
    const turn =
      options.stream === undefined
        ? undefined
        : this.host.streams.turn(options.stream, `${this.name}/${this.version}`);
    this.inFlight++;
    try {
      const result = await runStages(stages, { count, options, ...begin }, turn?.ready);
      this.host.observer.answered(this.name, result);
      return result;
    } finally {
      turn?.end();
      place.leave();
      this.inFlight--;
      if (this.inFlight === 0) this.drained();
    }
  }
}
