import { BallastError } from '../errors.js';
import type { NoisyVotes } from '../robust/randomized-smoothing.js';
import type { InferenceWorkers } from '../runtime/inference-workers.js';
import { Lanes } from '../runtime/lanes.js';
import type { Tensor, TensorMap } from '../runtime/tensor.js';
import type { Mixture } from './mixture-fit.js';
import type { ImageInput } from './model-config.js';
import { concatRows, rowsOf } from './rows.js';
import type { CertificateConfig } from './smoothing-config.js';
import type { StopSignal } from '../runtime/stop-signal.js';

type RandomizedSmoothing = Extract<CertificateConfig, { kind: 'randomized-smoothing' }>;

/** The picture input that gets noisy. */
export type NoisyInput = ImageInput & { readonly tensor: string };

/** Draws that choose a class, at most: as Cohen et al. have it. */
const MOST_SELECTION_DRAWS = 100;
/** Draws in one forward pass: enough to be quick, and over soon enough for other requests to get their turn. */
const DRAWS_A_PASS = 50;

/** Collects the votes of samples under noise, pass by pass, so that other requests run in between. */
export class NoisyVoter {
  /** All requests for certificates together leave every worker free after each pass. */
  private readonly passes: Lanes;

  constructor(
    private readonly workers: Pick<InferenceWorkers, 'vote' | 'count'>,
    private readonly config: RandomizedSmoothing,
    private readonly input: NoisyInput,
    private readonly logits: string,
  ) {
    this.passes = new Lanes(workers.count);
  }

  /**
   * @param inputs - the graph's inputs, `count` rows each
   * @param signal - ends the work between two passes
   * @param onProgress - told the draws so far, and all that there will be
   * @returns the votes of each sample. A sample's noise depends on the seed alone, so its votes are the same whichever
   *   samples come with it
   * @throws BallastError impossible where the input is no float32 tensor; as InferenceWorkers.vote; the signal's reason
   */
  async vote(
    inputs: TensorMap,
    count: number,
    signal?: StopSignal,
    onProgress?: (done: number, total: number) => void,
  ): Promise<NoisyVotes[]> {
    const { samples } = this.config;
    const selected = Math.min(MOST_SELECTION_DRAWS, Math.ceil(samples / 10));
    const total = count * (selected + samples);
    // A request that wants many passes takes turns with one that wants few.
    const lanes = new Lanes(this.workers.count * 2);
    let done = 0;
    const draw = async (sample: Tensor, draws: number, purpose: number): Promise<Uint32Array> => {
      const passes = Array.from({ length: Math.ceil(draws / DRAWS_A_PASS) }, (_, pass) =>
        lanes.run(async () => {
          signal?.throwIfAborted();
          const size = Math.min(DRAWS_A_PASS, draws - pass * DRAWS_A_PASS);
          const votes = await this.passes.run(() =>
            this.pass(sample, size, [this.config.seed, purpose, pass]),
          );
          onProgress?.((done += size), total);
          return votes;
        }),
      );
      return (await Promise.all(passes)).reduce(add);
    };
    return Promise.all(
      Array.from({ length: count }, async (_, row) => {
        const sample = this.sampleOf(inputs, row);
        const [selection, estimation] = await Promise.all([
          draw(sample, selected, 0),
          draw(sample, samples, 1),
        ]);
        return { selection, estimation };
      }),
    );
  }

  private pass(sample: Tensor, draws: number, seeds: readonly number[]): Promise<Uint32Array> {
    const { tensor, std, layout, channels } = this.input;
    const depth = channels === 'grey' ? 1 : 3;
    return this.workers.vote({
      input: tensor,
      sample,
      // The noise is of pixels in [0, 1]; the network sees them divided by their deviation.
      deviations: Array.from({ length: depth }, (_, channel) => this.config.sigma / (std[channel] ?? std[0])),
      run: layout === 'nchw' ? sample.dims[2] * sample.dims[3] : 1,
      logits: this.logits,
      draws,
      seeds,
    });
  }

  private sampleOf(inputs: TensorMap, row: number): Tensor {
    const tensor = inputs[this.input.tensor];
    if (!(tensor.data instanceof Float32Array) || tensor.dims.length !== 4) {
      throw new BallastError(
        'impossible',
        `Only a float32 input [N, C, H, W] can be certified; "${this.input.tensor}" is ${tensor.type} [${tensor.dims.join(', ')}].`,
      );
    }
    // In memory of its own: a view would take the whole batch along to the worker.
    return concatRows([rowsOf({ sample: tensor }, row, row + 1)]).sample;
  }
}

function add(sum: Uint32Array, votes: Uint32Array): Uint32Array {
  return sum.map((value, index) => value + votes[index]);
}

/**
 * What collects a model's votes; undefined where its certificates need none.
 * @throws BallastError invalid-model where votes are wanted of a model that does not take one picture
 */
export function noisyVoterOf(
  model: string,
  mixture: Mixture | undefined,
  images: ReadonlyMap<string, NoisyInput>,
  workers: InferenceWorkers,
): NoisyVoter | undefined {
  const certificate = mixture?.config.certificate ?? 'none';
  const logits = mixture?.voterLogits;
  if (logits === undefined || certificate === 'none' || certificate.kind !== 'randomized-smoothing')
    return undefined;
  const input = [...images.values()].at(0);
  if (input !== undefined && images.size === 1) return new NoisyVoter(workers, certificate, input, logits);
  throw new BallastError(
    'invalid-model',
    `Model "${model}": a certificate by randomised smoothing needs exactly one input of kind image, and there are ${images.size}.`,
  );
}
