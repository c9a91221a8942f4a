import { dirname, join } from 'node:path';
import { InferenceWorkers } from '../runtime/inference-workers.js';
import { BallastError } from '../errors.js';
import { inspectModel } from '../runtime/onnx/inspect.js';
import { providersToTry, type ProviderChoice } from '../runtime/providers.js';
import { RemoteClassifier, type RemoteSpec } from '../runtime/remote-classifier.js';
import { planThreads, type ThreadPlan } from '../runtime/thread-plan.js';
import type { TensorSpec } from '../runtime/tensor.js';
import { mixtureOf, type Mixture } from './mixture-fit.js';
import { readModelBytes, totalBytes } from './model-bytes.js';
import type { Batching } from './model-config.js';
import type { ModelDefinition } from './model-file.js';
import { batchLimit, fileInputs, imagesAmong, sampleShapes, tensorsOf, type FileInput } from './model-fit.js';
import { modulationOf, type ModulationFit } from './modulation-fit.js';
import { noisyVoterOf, type NoisyVoter } from './noisy-voter.js';

/** What runs a model's forward passes, and what was found out about the model. */
export interface ForwardRunner {
  /** Runs batches; `count` of them side by side. */
  readonly runner: Pick<InferenceWorkers, 'run' | 'count'>;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly classes: number | undefined;
  readonly tensors: { readonly logits?: string | undefined; readonly features?: string | undefined };
  /** The inputs that take encoded files. */
  readonly files: ReadonlyMap<string, FileInput>;
  readonly batching: Batching;
  readonly mixture: Mixture | undefined;
  readonly modulation: ModulationFit | undefined;
  readonly voter: NoisyVoter | undefined;
  /** Where it really runs: cuda, webgpu, cpu or remote. */
  readonly provider: string;
  /** Why the providers before it were not taken. */
  readonly failures: readonly string[];
  /** How its cores are shared; undefined where it runs elsewhere. */
  readonly plan: ThreadPlan | undefined;
  close(): Promise<void>;
}

/** What a runner is opened with. */
export interface RunnerHost {
  readonly providers: readonly ProviderChoice[];
  readonly cores: number;
  readonly workers: number | undefined;
  readonly threads: number | undefined;
  readonly warmUpMs: number | undefined;
  readonly remoteHosts: readonly string[];
  /** Told of every picture that a remote classifier is asked about. */
  readonly onRemoteQueries: (pictures: number) => void;
  readonly onWorkerLost: (reason: string) => void;
}

/**
 * Opens what runs a model's forward passes: inference workers, or a remote endpoint.
 * @throws BallastError invalid-model where files and model.yaml do not fit each other; unavailable where a provider
 *   or the remote is missing
 */
export async function openForwardRunner(
  definition: ModelDefinition,
  host: RunnerHost,
): Promise<ForwardRunner> {
  const remote = remoteSpecOf(definition, host.remoteHosts);
  return remote === undefined ? openLocal(definition, host) : openRemote(definition, remote, host);
}

/** The endpoint that model.yaml names in place of a file; undefined where the classifier is a file. */
export function remoteSpecOf(
  { config: { classifier } }: Pick<ModelDefinition, 'config'>,
  allowedHosts: readonly string[],
): RemoteSpec | undefined {
  if (classifier.url === undefined) return undefined;
  const { url, timeout, retries, maxInFlight } = classifier;
  const headers = Object.fromEntries(
    Object.entries(classifier.headers).map(([name, value]) => [name, withEnvironment(value, name)]),
  );
  return { url, headers, timeoutSeconds: timeout, retries, maxInFlight, allowedHosts };
}

/** Fills in environment variables, so that no secret stands in a file. */
function withEnvironment(text: string, header: string): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = process.env[name];
    if (value !== undefined) return value;
    throw new BallastError(
      'invalid-model',
      `classifier.headers: "${header}" needs the environment variable ${name}, which is not set.`,
    );
  });
}

async function openLocal(definition: ModelDefinition, host: RunnerHost): Promise<ForwardRunner> {
  const { config, files, name } = definition;
  const bytes = await readModelBytes(files.classifier!);
  const found = inspectModel(bytes, { logits: config.classifier.logits });
  const tensors = tensorsOf(config, found, name);
  const fed = fileInputs(config, found.inputs, name);
  const batching = { ...config.batching, maxBatchSize: batchLimit(config, found.inputs, name) };
  const mixture = await mixtureOf(definition, found);
  const modulation = await modulationOf(definition, bytes);
  const providers = config.providers ?? host.providers;
  const file = files.classifier!;
  const external = found.externalData.map((weights) => join(dirname(file), weights));
  // A modulated network has its weights in memory twice: plain, and with modulation.
  const twice = modulation === undefined ? [] : [file, ...external];
  const plan = planThreads({
    ...host,
    modelBytes: await totalBytes([file, files.robust, files.mixing, files.voter, ...external, ...twice]),
    onCpu: providersToTry(providers)[0] === 'cpu',
  });
  const workers = await InferenceWorkers.start(
    {
      file,
      expose: [tensors.logits, tensors.features, ...(mixture?.expose ?? [])].filter(
        (tensor) => tensor !== undefined,
      ),
      modulate: modulation?.layers.map(({ name: layer }) => layer) ?? [],
      companions: mixture?.companions ?? [],
      providers,
      winograd: config.winograd === 'auto',
      warmUp: {
        maxBatchSize: batching.maxBatchSize,
        sampleShapes: sampleShapes(config, fed),
        budgetMs: host.warmUpMs,
      },
    },
    plan,
    host.onWorkerLost,
  );
  return {
    runner: workers,
    ...{ inputs: found.inputs, outputs: found.outputs, classes: found.classes },
    ...{ tensors, files: fed, batching, mixture, modulation, plan },
    voter: noisyVoterOf(name, mixture, imagesAmong(fed), workers),
    provider: workers.info.provider,
    failures: workers.info.failures,
    close: () => workers.close(),
  };
}

async function openRemote(
  definition: ModelDefinition,
  spec: RemoteSpec,
  host: RunnerHost,
): Promise<ForwardRunner> {
  const { config, name, labels } = definition;
  if (config.robust ?? config.smoothing ?? config.modulation) {
    throw new BallastError(
      'invalid-model',
      `Model "${name}": robust, smoothing and modulation need a classifier with a file; this one is remote.`,
    );
  }
  const remote = await RemoteClassifier.connect(spec, host.onRemoteQueries);
  const { inputs, outputs } = remote;
  const logits = config.classifier.logits ?? outputs.find(({ dims }) => dims.length === 2)?.name;
  const named = outputs.find((output) => output.name === logits);
  const features = outputs.find((output) => output.name === config.classifier.features);
  const classes = named !== undefined && named.dims[1] > 0 ? named.dims[1] : labels?.length;
  const found = { logits: named?.name, features };
  return {
    runner: { count: remote.count, run: (tensors, fetches) => remote.run(tensors, fetches) },
    ...{ inputs, outputs, classes },
    tensors: tensorsOf(config, found, name),
    files: fileInputs(config, inputs, name),
    batching: { ...config.batching, maxBatchSize: batchLimit(config, inputs, name) },
    mixture: undefined,
    modulation: undefined,
    voter: undefined,
    provider: 'remote',
    failures: [],
    plan: undefined,
    close: () => remote.close(),
  };
}
