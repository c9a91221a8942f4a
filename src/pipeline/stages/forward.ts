import { rowsBetween, softmax, toMatrix } from '../../runtime/matrix.js';
import type { Matrix, Tensor, TensorMap } from '../../runtime/tensor.js';
import type { Batcher } from '../batcher.js';
import type { RequestOptions } from '../batch.js';
import type { Batch, Stage } from '../pipeline.js';
import { fitATurn, inTurns } from '../turns.js';

/** Runs the model, merged with other requests' batches, and reads logits and features off its outputs. */
export class ForwardStage implements Stage {
  readonly name = 'forward';
  readonly mixesSamples = false;

  /**
   * @param batcher - of this model
   * @param tensors - names of the tensors of logits and features, where the model has them
   */
  constructor(
    private readonly batcher: Batcher,
    private readonly tensors: {
      readonly logits?: string | undefined;
      readonly features?: string | undefined;
    },
    /** Tensors that later stages want, for a request's options. */
    private readonly fetchesFor: (options: RequestOptions) => readonly string[],
    /** What logits are divided by (Guo et al., ICML 2017), above 0; outputs that were asked for stay as they are. */
    private readonly temperature = 1,
    /** Whether anybody reads the features of a request with these options. */
    private readonly wantsFeatures: (options: RequestOptions) => boolean = () => true,
  ) {}

  /** @throws BallastError as Batcher.run; impossible where a logit is not finite */
  async run(batch: Batch): Promise<void> {
    const { logits } = this.tensors;
    const features = this.wantsFeatures(batch.options) ? this.tensors.features : undefined;
    const wanted = batch.options.outputs ?? [];
    const beside = this.fetchesFor(batch.options);
    const fetches: string[] = [];
    for (const name of [logits, features, ...wanted, ...beside]) {
      if (name !== undefined && !fetches.includes(name)) fetches.push(name);
    }
    const { inputs, count, options } = batch;
    const request = { inputs, count, fetches, signal: options.signal };
    const { outputs, queueMs, forwardMs } = await this.batcher.run(request);
    batch.timings.queue = queueMs;
    batch.timings.forward = forwardMs;
    batch.outputs = pick(outputs, wanted);
    batch.answers = pick(outputs, beside);
    if (logits !== undefined) {
      const raw = toMatrix(outputs[logits], `The tensor of logits "${logits}"`);
      batch.logits = this.temperature === 1 ? raw : await divided(raw, this.temperature);
      batch.base = await probabilitiesOf(batch.logits);
      batch.probabilities = batch.base;
    }
    if (features !== undefined) {
      batch.features = toMatrix(outputs[features], `The tensor of features "${features}"`);
    }
  }
}

/** In new memory: the request may have asked for the logits themselves. */
async function divided({ data, rows, cols }: Matrix, divisor: number): Promise<Matrix> {
  const quotients = new Float32Array(data.length);
  await inTurns(rows, cols, (begin, end) => {
    for (let i = begin * cols; i < end * cols; i++) quotients[i] = data[i] / divisor;
  });
  return { data: quotients, rows, cols };
}

/** Row by row, over several turns of the event loop where there are many. */
async function probabilitiesOf(logits: Matrix): Promise<Matrix> {
  const { rows, cols } = logits;
  if (fitATurn(rows, cols)) return softmax(logits);
  const data = new Float32Array(rows * cols);
  await inTurns(rows, cols, (begin, end) => {
    data.set(softmax(rowsBetween(logits, begin, end), begin).data, begin * cols);
  });
  return { data, rows, cols };
}

function pick(tensors: TensorMap, names: readonly string[]): TensorMap {
  const picked: Record<string, Tensor> = {};
  for (const name of names) picked[name] = tensors[name];
  return picked;
}
