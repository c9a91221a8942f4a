import type { NoisyVoter } from '../noisy-voter.js';
import type { Batch, Stage } from '../pipeline.js';
import type { SmoothStage } from './smooth.js';

/** Collects votes under noise for the requests that want a certificate; before the forward pass takes their inputs. */
export class CertifyStage implements Stage {
  readonly name = 'certify';
  readonly mixesSamples = false;

  constructor(
    private readonly voter: NoisyVoter,
    private readonly smooth: SmoothStage,
  ) {}

  /** @throws BallastError as NoisyVoter.vote */
  async run(batch: Batch): Promise<void> {
    const { options, inputs, count } = batch;
    if (!this.smooth.takesVotes(options)) return;
    batch.votes = await this.voter.vote(inputs, count, options.signal, options.onProgress);
  }
}
