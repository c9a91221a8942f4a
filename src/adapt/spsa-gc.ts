import { BallastError } from '../errors.js';
import { SeededRandom } from '../runtime/seeded-random.js';

/** How the parameters move. Defaults are those of Oh et al. (CVPR 2023). */
export interface SpsaGcOptions {
  /** Length of a step: a_k = a / (k + o)^alpha. */
  readonly a?: number;
  readonly o?: number;
  readonly alpha?: number;
  /** Size of a perturbation: c_k = c / k^gamma. */
  readonly c?: number;
  readonly gamma?: number;
  /** Momentum, in [0, 1). */
  readonly beta?: number;
  /** Pairs of evaluations a step, whose estimates of the gradient are averaged. */
  readonly samples?: number;
  /** spsa-gc: Nesterov's momentum corrects the estimate; spsa: the estimate alone. */
  readonly correction?: 'spsa-gc' | 'spsa';
  readonly seed?: number;
  /** The perturbation of a step (from 1) and draw (from 0), one number a parameter; drawn from the seed otherwise. */
  readonly perturb?: (step: number, draw: number) => ArrayLike<number>;
}

/** All that an optimiser needs to go on from where it stood. */
export interface SpsaGcState {
  /** Steps made. */
  readonly step: number;
  readonly parameters: Float64Array;
  readonly momentum: Float64Array;
}

/** The loss of each of some candidates `[P]`, in their order. */
export type LossOfCandidates = (candidates: readonly Float64Array[]) => Promise<readonly number[]>;

/** The defaults, written out. */
export const SPSA_GC_DEFAULTS = {
  a: 0.01,
  c: 0.01,
  o: 1,
  alpha: 0.4,
  gamma: 0.1,
  beta: 0.9,
  samples: 5,
  correction: 'spsa-gc',
} as const;

/**
 * Simultaneous perturbation stochastic approximation with gradient correction: minimises a loss of which only values
 * can be asked, 2·samples a step (Oh et al., "BlackVIP", CVPR 2023, section 4.2; Spall, 1992). All numbers are float64.
 */
export class SpsaGc {
  private readonly options: Required<Omit<SpsaGcOptions, 'perturb' | 'seed'>>;
  private readonly perturb: (step: number, draw: number) => ArrayLike<number>;
  private readonly current: Float64Array;
  private readonly momentum: Float64Array;
  private steps: number;

  /**
   * @param start - the parameters `[P]` to begin with, or the state to go on from
   * @throws BallastError invalid-input where an option is out of its range
   */
  constructor(start: ArrayLike<number> | SpsaGcState, { perturb, seed = 0, ...options }: SpsaGcOptions = {}) {
    this.options = { ...SPSA_GC_DEFAULTS, ...options };
    checkOptions(this.options);
    const state = 'parameters' in start ? start : undefined;
    this.current = Float64Array.from(state?.parameters ?? (start as ArrayLike<number>));
    this.momentum = Float64Array.from(state?.momentum ?? new Float64Array(this.current.length));
    this.steps = state?.step ?? 0;
    this.perturb = perturb ?? ((step, draw) => drawPerturbation(this.current.length, seed, step, draw));
  }

  /** The parameters `[P]` as they stand; a copy. */
  get parameters(): Float64Array {
    return this.current.slice();
  }

  /** Where the optimiser stands; a copy. */
  get state(): SpsaGcState {
    return { step: this.steps, parameters: this.parameters, momentum: this.momentum.slice() };
  }

  /**
   * Makes one step.
   * @param loss - of one candidate `[P]`; asked 2·samples times at once
   * @returns the mean of the losses, and the number of the step, from 1
   * @throws BallastError impossible where a loss is not finite; the parameters are then as before
   */
  step(
    loss: (parameters: Float64Array) => number | Promise<number>,
  ): Promise<{ loss: number; step: number }> {
    return this.stepTogether((candidates) => Promise.all(candidates.map(async (one) => loss(one))));
  }

  /** As `step`, with all 2·samples candidates handed over together. */
  async stepTogether(losses: LossOfCandidates): Promise<{ loss: number; step: number }> {
    const { a, c, o, alpha, gamma, samples } = this.options;
    const step = this.steps + 1;
    const stepLength = a / (step + o) ** alpha;
    const size = c / step ** gamma;
    const perturbations = Array.from({ length: samples }, (_, draw) => this.perturb(step, draw));
    const candidates = perturbations.flatMap((delta) => [
      this.current.map((value, i) => value + size * delta[i]),
      this.current.map((value, i) => value - size * delta[i]),
    ]);
    const values = await losses(candidates);
    const wrong = values.find((value) => !Number.isFinite(value));
    if (wrong !== undefined || values.length !== candidates.length) {
      throw new BallastError(
        'impossible',
        `Step ${step} met a loss of ${String(wrong)}; a smaller step length (a) or perturbation (c) may help.`,
      );
    }
    const gradient = new Float64Array(this.current.length);
    perturbations.forEach((delta, draw) => {
      const slope = (values[2 * draw] - values[2 * draw + 1]) / (2 * size);
      for (let i = 0; i < gradient.length; i++) gradient[i] += slope / delta[i] / samples;
    });
    this.move(gradient, stepLength);
    this.steps = step;
    return { loss: values.reduce((sum, value) => sum + value, 0) / values.length, step };
  }

  private move(gradient: Float64Array, stepLength: number): void {
    const { beta, correction } = this.options;
    for (let i = 0; i < gradient.length; i++) {
      let direction = gradient[i];
      if (correction === 'spsa-gc') {
        this.momentum[i] = beta * this.momentum[i] + gradient[i];
        direction += beta * this.momentum[i];
      }
      this.current[i] -= stepLength * direction;
    }
  }
}

/** Independent entries, uniform on [-1, -½] ∪ [½, 1]. */
function drawPerturbation(count: number, seed: number, step: number, draw: number): Float32Array {
  const random = new SeededRandom(seed, step, draw);
  return Float32Array.from({ length: count }, () => {
    const value = random.uniform() - 0.5;
    return value < 0 ? value - 0.5 : value + 0.5;
  });
}

function checkOptions(options: Required<Omit<SpsaGcOptions, 'perturb' | 'seed'>>): void {
  const rules: readonly (readonly [keyof typeof options, boolean, string])[] = [
    ['a', options.a > 0, 'above 0'],
    ['c', options.c > 0, 'above 0'],
    ['o', options.o >= 0, 'at least 0'],
    ['alpha', options.alpha >= 0, 'at least 0'],
    ['gamma', options.gamma >= 0, 'at least 0'],
    ['beta', options.beta >= 0 && options.beta < 1, 'at least 0 and below 1'],
    ['samples', Number.isInteger(options.samples) && options.samples > 0, 'a whole number above 0'],
  ];
  const broken = rules.find(([, holds]) => !holds);
  if (broken === undefined) return;
  const [name, , allowed] = broken;
  throw new BallastError('invalid-input', `${name} is ${options[name]}; it must be ${allowed}.`);
}
