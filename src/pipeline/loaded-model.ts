import type { Logger } from 'pino';
import { BallastError } from '../errors.js';
import { providersToTry, type ProviderChoice } from '../runtime/providers.js';
import { planThreads } from '../runtime/thread-plan.js';
import type { TensorMap, TensorSpec } from '../runtime/tensor.js';
import type { RequestCounter } from '../runtime/yielding.js';
import type { BatchResult, PipelineObserver, RequestOptions } from './batch.js';
import { Batcher } from './batcher.js';
import { lameSchema, type ModelConfig } from './model-config.js';
import { openForwardRunner, remoteSpecOf, type ForwardRunner } from './forward-runner.js';
import { verdictSchema } from './deepfake-config.js';
import { deepfakeOf, type DeepfakeFit } from './deepfake-fit.js';
import { FaceFinder } from './face-finder.js';
import { FaceJudge } from './face-judge.js';
import { totalBytes } from './model-bytes.js';
import type { ModelDefinition } from './model-file.js';
import { referenceOf } from './drift-reference.js';
import { decodersOf, imagesAmong, labelsOf } from './model-fit.js';
import { LoadedPrompts } from './model-prompts.js';
import { Batch, runStages, type Stage } from './pipeline.js';
import type { PromptJobs } from './prompt-jobs.js';
import { Prompter } from './prompter.js';
import type { DeepfakeModel, EncodedInputs, ServedModel } from './serving.js';
import { AdaptStage, warmLame } from './stages/adapt.js';
import { CertifyStage } from './stages/certify.js';
import { DecodeStage } from './stages/decode.js';
import { ForwardStage } from './stages/forward.js';
import { ModulateStage } from './stages/modulate.js';
import { PromptStage } from './stages/prompt.js';
import { SmoothStage } from './stages/smooth.js';
import type { StreamStore } from './streams.js';
import { TrafficMonitor } from './traffic-monitor.js';

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
  /** Milliseconds that each copy of a model may warm up; by provider where undefined. */
  readonly warmUpMs: number | undefined;
  readonly observer: PipelineObserver;
  readonly log: Logger;
  readonly streams: StreamStore;
  readonly jobs: PromptJobs;
  /** Told of every request, since jobs give way to them. */
  readonly requests: RequestCounter;
  /** Hosts that remote classifiers may be on. */
  readonly remoteHosts: readonly string[];
}

/** A model whose workers are started: the stages that its requests go through. */
export class LoadedModel implements ServedModel {
  readonly name: string;
  readonly version: string;
  readonly config: ModelConfig;
  readonly deepfake: DeepfakeModel | undefined;
  /** Requests that have chosen this model, and passes that are under way. */
  private users = 0;
  private closing = false;
  private unused: () => void = () => undefined;
  private readonly unwatch: (() => void) | undefined;
  private readonly fileStages: readonly Stage[];

  private constructor(
    definition: ModelDefinition,
    readonly labels: readonly string[],
    private readonly forward: ForwardRunner,
    readonly prompts: LoadedPrompts | undefined,
    private readonly prompter: Prompter | undefined,
    private readonly batcher: Batcher,
    private readonly decode: DecodeStage,
    private readonly checked: readonly { check(options: RequestOptions): void }[],
    private readonly stages: readonly Stage[],
    private readonly host: ModelHost,
    fit: DeepfakeFit | undefined,
    private readonly finder: FaceFinder | undefined,
    /** Undefined where nobody wants to know. */
    private readonly monitor: TrafficMonitor | undefined,
  ) {
    this.fileStages = [decode, ...stages];
    this.name = definition.name;
    this.version = definition.version;
    this.config = definition.config;
    this.deepfake = fit && this.deepfakeModel(fit);
    this.unwatch = monitor && host.observer.watchTraffic?.(monitor);
  }

  /**
   * Starts what the model runs on and waits until it is warm.
   * @throws BallastError invalid-model where the ONNX file and model.yaml do not fit each other; unavailable where
   *   a provider or a remote classifier is missing
   */
  static async open(definition: ModelDefinition, host: ModelHost): Promise<LoadedModel> {
    const begin = performance.now();
    const { config, name, version } = definition;
    const log = host.log.child({ model: name, version });
    const onWorkerLost = (reason: string): void => {
      log.error({ reason }, 'an inference worker is missing');
    };
    const onRemoteQueries = (pictures: number): void => {
      host.observer.promptQueries(name, 'serve', pictures);
    };
    const providers = config.providers ?? host.providers;
    const forward = await openForwardRunner(definition, {
      ...host,
      providers,
      onWorkerLost,
      onRemoteQueries,
    });
    const { tensors, files, batching, mixture, modulation, voter, provider, failures, plan } = forward;
    const labels = labelsOf(definition, forward.classes);
    const opened: { close(): Promise<void> }[] = [forward];
    const orClose = async (error: unknown): Promise<never> => {
      await Promise.all(opened.map((part) => part.close()));
      throw error;
    };
    const prompter = await openPrompter(definition, forward, host, onWorkerLost).catch(orClose);
    if (prompter !== undefined) opened.push(prompter);
    const fit = await Promise.resolve()
      .then(() => deepfakeOf(config, labels, imagesAmong(files)))
      .catch(orClose);
    const finder = await openFinder(definition, host, onWorkerLost).catch(orClose);
    if (finder !== undefined) opened.push(finder);
    const reference = await referenceOf(definition, tensors, forward.outputs).catch(orClose);
    if (config.lame !== undefined && config.lame.scope !== 'off') await warmLame(config.lame);
    const batcher = new Batcher(name, forward.runner, batching, host.observer);
    const lame = config.lame ?? lameSchema.parse({ scope: 'off' });
    const smooth = new SmoothStage(name, mixture);
    const adapt = new AdaptStage(`${name}/${version}`, lame, host.streams);
    const prompt = new PromptStage(name, prompter);
    const decode = new DecodeStage(decodersOf(files), {
      allowed: modulation !== undefined,
      brokenIsMissing: config.modulation?.onBroken === 'treat-as-missing',
    });
    const model = new LoadedModel(
      definition,
      labels,
      forward,
      prompter &&
        new LoadedPrompts({
          ...{ definition, labels, prompter, decode, providers },
          jobs: host.jobs,
          remote: remoteSpecOf(definition, host.remoteHosts),
          logits: tensors.logits!,
          maxBatchSize: batching.maxBatchSize,
        }),
      prompter,
      batcher,
      decode,
      [smooth, prompt],
      [
        ...(modulation === undefined
          ? []
          : [new ModulateStage(modulation.sets, Object.keys(config.inputs), modulation.layers)]),
        ...(prompter === undefined ? [] : [prompt]),
        ...(voter === undefined ? [] : [new CertifyStage(voter, smooth)]),
        new ForwardStage(
          batcher,
          tensors,
          (options) => smooth.fetches(options),
          config.calibration.temperature,
          (options) => reference !== undefined || adapt.adapts(options),
        ),
        ...(mixture === undefined ? [] : [smooth]),
        adapt,
      ],
      host,
      fit,
      finder,
      host.observer.watchTraffic && new TrafficMonitor(name, version, reference, log),
    );
    if (failures.length > 0) log.warn({ failures }, `fell back to ${provider}`);
    log.info(
      {
        provider,
        ...tensors,
        classes: forward.classes,
        smoothing: mixture?.config.mode ?? 'off',
        modulation: modulation?.sets.combinations ?? 'off',
        prompt: prompter === undefined ? 'off' : (prompter.activeVersion ?? 'none active'),
        monitor: reference === undefined ? 'off' : `reference of ${reference.samples} samples`,
        lame: config.lame === undefined ? 'off' : `${lame.affinity}, k ${lame.k}, scope ${lame.scope}`,
        ...plan,
        loadMs: Math.round(performance.now() - begin),
      },
      `model ${name} version ${version} runs on ${provider}`,
    );
    return model;
  }

  get inputs(): readonly TensorSpec[] {
    return this.forward.inputs;
  }

  get outputs(): readonly TensorSpec[] {
    return this.forward.outputs;
  }

  get provider(): string {
    return this.forward.provider;
  }

  /** The tensors that logits and features are read off. */
  get tensors(): ForwardRunner['tensors'] {
    return this.forward.tensors;
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
    return this.whileOpen(() => this.runFiles(files, options));
  }

  infer(inputs: TensorMap, options: RequestOptions = {}): Promise<BatchResult> {
    return this.whileOpen(() => this.runTensors(inputs, options));
  }

  retain(): void {
    this.users++;
  }

  release(): void {
    this.users--;
    if (this.users === 0) this.unused();
  }

  /** Waits for the requests that have chosen it, then ends the workers. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.users > 0) await new Promise<void>((resolve) => (this.unused = resolve));
    this.unwatch?.();
    await Promise.all([this.forward.close(), this.prompter?.close(), this.finder?.close()]);
  }

  private deepfakeModel(fit: DeepfakeFit): DeepfakeModel {
    const { name, config, finder } = this;
    const judge = new FaceJudge({
      ...{ ...fit, name, rules: config.verdict ?? verdictSchema.parse({}) },
      faces: finder && config.faces && { finder, scale: config.faces.scale },
      predict: (files, options) => this.runFiles(files, options),
      infer: (inputs, options) => this.runTensors(inputs, options),
    });
    return {
      rules: judge.rules,
      judgePictures: (files, options) => this.whileOpen(() => judge.judgePictures(files, options)),
      judgeVideo: (path, limits, options) => this.whileOpen(() => judge.judgeVideo(path, limits, options)),
    };
  }

  private async runFiles(files: EncodedInputs, options: RequestOptions): Promise<BatchResult> {
    const count = this.decode.countOf(files);
    return this.serve(new Batch({ count, options, files }), this.fileStages);
  }

  private async runTensors(inputs: TensorMap, options: RequestOptions): Promise<BatchResult> {
    const count = Object.values(inputs)[0]?.dims[0] ?? 0;
    if (this.config.modulation === undefined) {
      return this.serve(new Batch({ count, options, inputs }), this.stages);
    }
    const { whole, arrived } = this.decode.complete(inputs, count);
    return this.serve(new Batch({ count, options, inputs: whole, arrived }), this.stages);
  }

  /** Does a request's work, which is finished before the model is closed. */
  private async whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.closing && this.users === 0) {
      this.host.observer.rejected('draining');
      throw new BallastError(
        'unavailable',
        `Model "${this.name}" is being taken out of service; try again.`,
        {
          retryAfterSeconds: 1,
        },
      );
    }
    this.retain();
    try {
      return await work();
    } finally {
      this.release();
    }
  }

  private async serve(batch: Batch, stages: readonly Stage[]): Promise<BatchResult> {
    const { count, options } = batch;
    this.host.requests.add();
    for (const stage of this.checked) stage.check(options);
    const place = this.batcher.admit(count);
    const turn =
      options.stream === undefined
        ? undefined
        : this.host.streams.turn(options.stream, `${this.name}/${this.version}`);
    try {
      const result = await runStages(stages, batch, turn?.ready);
      this.host.observer.answered(this.name, result);
      this.monitor?.add(result);
      return result;
    } finally {
      turn?.end();
      place.leave();
    }
  }
}

async function openPrompter(
  definition: ModelDefinition,
  { files, batching }: ForwardRunner,
  host: ModelHost,
  onWorkerLost: (reason: string) => void,
): Promise<Prompter | undefined> {
  if (definition.config.prompt === undefined) return undefined;
  const providers = definition.config.providers ?? host.providers;
  const { coordinator } = definition.files;
  const plan = planThreads({
    ...host,
    modelBytes: await totalBytes([coordinator]),
    onCpu: providersToTry(providers)[0] === 'cpu',
  });
  return Prompter.open(definition, imagesAmong(files), { ...host, providers, plan, batching, onWorkerLost });
}

async function openFinder(
  { config, files }: ModelDefinition,
  host: ModelHost,
  onWorkerLost: (reason: string) => void,
): Promise<FaceFinder | undefined> {
  if (config.faces === undefined || files.faces === undefined) return undefined;
  const providers = config.providers ?? host.providers;
  const plan = planThreads({
    ...host,
    modelBytes: await totalBytes([files.faces]),
    onCpu: providersToTry(providers)[0] === 'cpu',
  });
  return FaceFinder.open(files.faces, config.faces, { ...host, providers, plan, onWorkerLost });
}
