import { z } from 'zod';

const share = z.number().min(0).max(1);

/** What certifies a mixture's answers. */
const certificateSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    /** The robust classifier's probabilities change by at most `constant` over a distance of 1. */
    kind: z.literal('lipschitz'),
    constant: z.number().positive(),
    norm: z.enum(['l2', 'linf']).default('l2'),
  }),
  z.strictObject({
    /** Votes under Gaussian noise, in place of the robust classifier's own answer. */
    kind: z.literal('randomized-smoothing'),
    /** The classifier that votes, trained under such noise; the robust one where left out. */
    base: z.string().optional(),
    /** Deviation of the noise, of pixels in [0, 1]. */
    sigma: z.number().positive().max(10),
    /** Draws a sample; a tenth as many, at most 100, choose the class before. */
    samples: z.int().min(10).max(1_000_000).default(1000),
    /** How sure the radius is. */
    confidence: z.number().gt(0.5).lt(1).default(0.999),
    seed: z
      .int()
      .min(0)
      .max(2 ** 31)
      .default(0),
  }),
]);

/** The keys of `smoothing`. */
export const smoothingFields = z.strictObject({
  /** Whether requests are mixed that do not say. Those that name alpha or want a certificate are. */
  default: z.enum(['on', 'off']).default('on'),
  /** Where alpha comes from; left out, what else is written tells. */
  mode: z.enum(['fixed', 'mixing-network', 'nonlinear']).optional(),
  /** Weight of the robust classifier: a number, or the least it can be and how far it can rise above that. */
  alpha: z.union([share, z.strictObject({ bias: share, scale: share })]),
  /** The mixing network: its only output is gamma, one number a sample. */
  mixing: z.string().optional(),
  /** What each input of the mixing network reads: `standard:TENSOR` or `robust:TENSOR` of those files. */
  features: z
    .record(
      z.string(),
      z.string().regex(/^(standard|robust):./, 'it must be "standard:TENSOR" or "robust:TENSOR"'),
    )
    .default({}),
  /** How gamma is normalised, for a network that leaves that out. */
  gamma: z
    .strictObject({
      mean: z.number().default(0),
      variance: z.number().min(0).default(1),
      epsilon: z.number().min(0).default(0),
      scale: z.number().default(1),
      bias: z.number().default(0),
    })
    .prefault({}),
  /** Nonlinear mixing: the numbers that the robust classifier's logits are transformed with. */
  nonlinear: z
    .strictObject({ scale: z.number().positive(), power: z.number().positive(), shift: z.number() })
    .optional(),
  /** What the logits of each classifier are multiplied with. */
  standardScale: z.number().positive().max(1e4).default(1),
  robustScale: z.number().positive().max(1e4).default(1),
  certificate: z.union([z.literal('none'), certificateSchema]).default('none'),
});

/** Adaptive smoothing: see src/robust/smoothing.ts and mixing.ts. */
export const smoothingSchema = smoothingFields
  .transform((smoothing) => ({ ...smoothing, mode: smoothing.mode ?? impliedMode(smoothing) }))
  .superRefine(({ mode, alpha, mixing, nonlinear }, context) => {
    const mistake = (key: string, right: string): void => {
      context.addIssue({ code: 'custom', path: [key], message: `it must be ${right}` });
    };
    if (mode === 'mixing-network') {
      if (mixing === undefined) mistake('mixing', 'the file of the mixing network');
      if (typeof alpha === 'number') mistake('alpha', '{ bias, scale }, the range of the mixing network');
      else if (alpha.bias + alpha.scale > 1) mistake('alpha', 'a bias and a scale that add up to 1 at most');
      return;
    }
    if (typeof alpha !== 'number') mistake('alpha', `a number in [0, 1] in mode ${mode}`);
    if (mixing !== undefined) mistake('mixing', `left out in mode ${mode}`);
    if (mode === 'nonlinear' && nonlinear === undefined) mistake('nonlinear', '{ scale, power, shift }');
    if (mode === 'fixed' && nonlinear !== undefined) mistake('nonlinear', 'left out in mode fixed');
  });

function impliedMode({
  mixing,
  nonlinear,
}: {
  mixing?: string | undefined;
  nonlinear?: object | undefined;
}): 'fixed' | 'mixing-network' | 'nonlinear' {
  if (mixing !== undefined) return 'mixing-network';
  return nonlinear === undefined ? 'fixed' : 'nonlinear';
}

export type SmoothingConfig = z.output<typeof smoothingSchema>;
export type CertificateConfig = Exclude<SmoothingConfig['certificate'], 'none'>;
