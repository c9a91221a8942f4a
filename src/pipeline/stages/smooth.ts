import { BallastError } from '../../errors.js';
import { lipschitzRadius } from '../../robust/certificate.js';
import { mixingAlpha, transformLogits } from '../../robust/mixing.js';
import { certifyVotes, type NoisyVotes } from '../../robust/randomized-smoothing.js';
import { smooth } from '../../robust/smoothing.js';
import { argmax, rowsBetween, softmax, toMatrix, topTwo } from '../../runtime/matrix.js';
import type { Matrix } from '../../runtime/tensor.js';
import type { Certificate, RequestOptions } from '../batch.js';
import type { Mixture } from '../mixture-fit.js';
import type { Batch, Stage } from '../pipeline.js';
import type { CertificateConfig } from '../smoothing-config.js';
import { inTurns } from '../turns.js';

/** What mixes two classifiers' answers, and certifies the mixture. */
export class SmoothStage implements Stage {
  readonly name = 'smooth';
  readonly mixesSamples = false;

  /**
   * @param model - named in errors
   * @param mixture - undefined where model.yaml mixes nothing
   */
  constructor(
    private readonly model: string,
    private readonly mixture: Mixture | undefined,
  ) {}

  /**
   * Whether a request can have what it asks for.
   * @throws BallastError impossible where it asks for a mixture or certificate that the model does not have
   */
  check({ smoothing, alpha, certify }: RequestOptions): void {
    const asked = [smoothing === true && 'smoothing', alpha !== undefined && 'alpha', certify && 'certify'];
    const first = asked.find((option) => typeof option === 'string');
    if (first === undefined) return;
    if (this.mixture === undefined) {
      throw impossible(
        `Model "${this.model}" has no robust classifier to mix with, so it takes no ${first}.`,
      );
    }
    if (smoothing === false) throw impossible(`A request with smoothing=off takes no ${first}.`);
    if (certify && this.certificate === undefined) {
      throw impossible(
        `Model "${this.model}" has no certificate; smoothing.certificate in its model.yaml gives it one.`,
      );
    }
  }

  /** Whether a request's answers are mixed. */
  private mixes({ smoothing, alpha, certify }: RequestOptions): boolean {
    if (this.mixture === undefined) return false;
    return smoothing ?? (alpha !== undefined || certify === true || this.mixture.config.default === 'on');
  }

  /** Tensors that this stage needs from the forward pass, for a request with these options. */
  fetches(options: RequestOptions): readonly string[] {
    if (this.mixture === undefined || !this.mixes(options)) return [];
    const { robustLogits, gamma } = this.mixture;
    const needed = [];
    if (!this.takesVotes(options)) needed.push(robustLogits);
    if (gamma !== undefined && options.alpha === undefined) needed.push(gamma);
    return needed;
  }

  /** Whether a request's robust half is votes under noise, in place of the robust classifier's answer. */
  takesVotes(options: RequestOptions): boolean {
    return options.certify === true && this.certificate?.kind === 'randomized-smoothing';
  }

  /** @throws BallastError impossible where a logit is not finite; invalid-model where gamma is not one a sample */
  async run(batch: Batch): Promise<void> {
    const { mixture } = this;
    const { options, logits } = batch;
    if (mixture === undefined || logits === undefined || !this.mixes(options)) return;
    const alpha = this.alphaOf(batch, mixture);
    const least = options.alpha ?? leastAlpha(mixture);
    if (batch.votes === undefined) await this.mixLogits(batch, logits, mixture, alpha, least);
    else this.mixVotes(batch, logits, batch.votes, mixture, alpha, least);
    batch.alpha = alpha;
    batch.smoothing = {
      mode: options.alpha === undefined ? mixture.config.mode : 'fixed',
      alpha: extremes(alpha),
    };
  }

  private get certificate(): CertificateConfig | undefined {
    const certificate = this.mixture?.config.certificate;
    return certificate === 'none' ? undefined : certificate;
  }

  private alphaOf({ answers, count, options }: Batch, { config, gamma }: Mixture): Float32Array {
    if (options.alpha !== undefined) return new Float32Array(count).fill(options.alpha);
    if (typeof config.alpha === 'number') return new Float32Array(count).fill(config.alpha);
    const tensor = answers[gamma!];
    if (!(tensor.data instanceof Float32Array) || tensor.data.length !== count) {
      throw new BallastError(
        'invalid-model',
        `The mixing network of model "${this.model}" answers ${tensor.type} [${tensor.dims.join(', ')}]; gamma is one float32 number a sample.`,
      );
    }
    const { mean, variance, epsilon, scale, bias } = config.gamma;
    return mixingAlpha(tensor.data, {
      mean,
      variance,
      epsilon,
      gammaScale: scale,
      gammaBias: bias,
      alphaScale: config.alpha.scale,
      alphaBias: config.alpha.bias,
    });
  }

  private async mixLogits(
    batch: Batch,
    standard: Matrix,
    { config, robustLogits }: Mixture,
    alpha: Float32Array,
    least: number,
  ): Promise<void> {
    const { rows, cols } = standard;
    const robust = toMatrix(batch.answers[robustLogits], "The robust classifier's tensor of logits");
    const { certificate } = this;
    // A prompt changes the picture that the radius would be about.
    const lipschitz =
      certificate?.kind === 'lipschitz' && batch.options.certify !== false && batch.prompt === undefined
        ? certificate
        : undefined;
    const probabilities = new Float32Array(rows * cols);
    const certificates: Certificate[] = [];
    await inTurns(rows, cols, (begin, end) => {
      const own = rowsBetween(robust, begin, end);
      const bent = config.nonlinear === undefined ? own : transformLogits(own, config.nonlinear);
      const mixed = smooth(rowsBetween(standard, begin, end), bent, alpha.subarray(begin, end), config);
      probabilities.set(mixed.data.map(Math.exp), begin * cols);
      if (lipschitz === undefined) return;
      const scaled = softmax(scale(bent, config.robustScale));
      for (let row = 0; row < scaled.rows; row++) {
        const [first, second] = topTwo(scaled, row);
        const radius = lipschitzRadius(first, second, least, lipschitz.constant);
        certificates.push({ radius, norm: lipschitz.norm });
      }
    });
    batch.probabilities = { data: probabilities, rows, cols };
    if (lipschitz !== undefined) batch.certificates = certificates;
  }

  private mixVotes(
    batch: Batch,
    standard: Matrix,
    votes: readonly NoisyVotes[],
    { config }: Mixture,
    alpha: Float32Array,
    least: number,
  ): void {
    const { sigma, samples, confidence } = this.certificate as Extract<
      CertificateConfig,
      { kind: 'randomized-smoothing' }
    >;
    const mixed = softmax(scale(standard, config.standardScale));
    if (votes[0]?.estimation.length !== mixed.cols) {
      throw new BallastError(
        'invalid-model',
        `The classifiers of model "${this.model}" answer ${mixed.cols} and ${votes[0]?.estimation.length} classes; they must be the same.`,
      );
    }
    batch.certificates = votes.map((own, row): Certificate => {
      const weight = alpha[row];
      for (let col = 0; col < mixed.cols; col++) {
        const cell = row * mixed.cols + col;
        mixed.data[cell] = (1 - weight) * mixed.data[cell] + (weight * own.estimation[col]) / samples;
      }
      const { index, radius } = certifyVotes(own, least, sigma, confidence);
      const holds = radius > 0 && index === argmax(mixed, row);
      return { radius: holds ? radius : 0, norm: 'l2', confidence, samples };
    });
    batch.probabilities = mixed;
  }
}

function leastAlpha({ config }: Mixture): number {
  return typeof config.alpha === 'number' ? config.alpha : config.alpha.bias;
}

function extremes(values: Float32Array): [number, number] {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  return [least, greatest];
}

function scale(matrix: Matrix, factor: number): Matrix {
  return { ...matrix, data: matrix.data.map((value) => value * factor) };
}

function impossible(message: string): BallastError {
  return new BallastError('impossible', message);
}
