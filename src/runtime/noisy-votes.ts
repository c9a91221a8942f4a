import type { Ensemble } from './ensemble.js';
import { GaussianNoise } from './gaussian-noise.js';
import { argmax, toMatrix } from './matrix.js';
import type { Tensor } from './tensor.js';

/** Asks for the classes of one sample under Gaussian noise. */
export interface VoteRequest {
  /** The graph input that is noisy, and the one sample `[1, C, H, W]` (or `[1, H, W, C]`) without noise. */
  readonly input: string;
  readonly sample: Tensor;
  /** Deviation of the noise for each element of the sample, over and over: one, or one a channel. */
  readonly deviations: readonly number[];
  /** Elements in a row that share a deviation. */
  readonly run: number;
  /** The logits that vote. */
  readonly logits: string;
  readonly draws: number;
  readonly seeds: readonly number[];
}

/**
 * Counts which class a classifier answers under Gaussian noise: the votes of its smoothed version (Cohen, Rosenfeld,
 * Kolter, ICML 2019).
 * @returns votes `[K]`, as many as there are draws
 */
export async function countNoisyVotes(ensemble: Ensemble, request: VoteRequest): Promise<Uint32Array> {
  const { input, sample, deviations, run, logits, draws, seeds } = request;
  const clean = sample.data as Float32Array;
  const noise = new GaussianNoise(...seeds);
  const data = new Float32Array(draws * clean.length);
  for (let i = 0; i < data.length; i++) {
    const deviation = deviations[Math.floor(i / run) % deviations.length];
    data[i] = clean[i % clean.length] + deviation * noise.next();
  }
  const noisy: Tensor = { type: 'float32', dims: [draws, ...sample.dims.slice(1)], data };
  const outputs = await ensemble.run({ [input]: noisy }, [logits]);
  const answers = toMatrix(outputs[logits], 'The tensor of logits');
  const votes = new Uint32Array(answers.cols);
  for (let draw = 0; draw < draws; draw++) votes[argmax(answers, draw)]++;
  return votes;
}
