import { z } from 'zod';
import { numericText } from '../numeric-text.js';

/** A name that a client gives to a stream of samples. */
export const streamIdSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
    'it must be up to 128 letters, digits, ".", "_", ":" and "-", a letter or digit first',
  )
  .meta({ description: 'the stream that the samples continue', example: 'cam-7' });

/** Weight of the robust classifier. */
export const alphaSchema = z.number().min(0).max(1);

/** A prompt's version, or none. */
export const promptSchema = z
  .string()
  .regex(/^([1-9]\d{0,8}|off)$/, 'it must be the number of a version, or off');

/** Query of a predict request. */
export const predictQuerySchema = z.strictObject({
  stream: streamIdSchema.optional(),
  lame: z
    .enum(['on', 'off'])
    .optional()
    .meta({ description: 'whether LAME adapts this request; otherwise as model.yaml says' }),
  smoothing: z.enum(['on', 'off']).optional().meta({
    description: 'whether the standard and the robust classifier are mixed; otherwise as model.yaml says',
  }),
  alpha: numericText(alphaSchema)
    .optional()
    .meta({
      description: 'weight of the robust classifier for this request, from 0 (none) to 1 (alone)',
      override: { type: 'number', minimum: 0, maximum: 1 },
    }),
  prompt: promptSchema
    .optional()
    .meta({ description: "the prompt's version, or off; otherwise the active one" }),
  certify: z.enum(['on', 'off']).optional().meta({
    description: 'whether answers come with a certified radius, even where it costs many forward passes',
  }),
  top: numericText(z.int().min(1))
    .optional()
    .meta({
      description: 'classes in `top`, the most probable first',
      override: { type: 'integer', minimum: 1, default: 5 },
    }),
});

const file = z.string().meta({ description: 'a file as base64, or as a data: URL' });

/** JSON body of a predict request: files by input. */
export const predictBodySchema = z
  .record(z.string(), z.union([file, z.array(file.nullable())]))
  .meta({ id: 'PredictRequest', example: { image: ['<base64>'] } });

const ranked = z.object({
  label: z.string(),
  index: z.int(),
  probability: z.number().min(0).max(1),
});

const prediction = ranked.extend({
  top: z.array(ranked).meta({ description: 'the most probable classes, adapted' }),
  base: ranked.meta({
    description: 'what the model alone said, of the picture with its prompt if it got one',
  }),
  alpha: z.number().min(0).max(1).optional().meta({ description: 'weight of the robust classifier' }),
  missing: z.array(z.string()).optional().meta({ description: 'the inputs that did not arrive' }),
  modulation: z
    .string()
    .optional()
    .meta({ description: 'said where something is missing and the model has no set for the rest' }),
  certificate: z
    .object({
      radius: z.number().min(0),
      norm: z.enum(['l2', 'linf']),
      confidence: z.number().optional(),
      samples: z.int().optional(),
    })
    .optional()
    .meta({
      description:
        'no change of the pixels (in [0, 1]) within this distance changes the class of the mixed classifier, LAME left out; 0 where nothing could be shown. Left out where LAME changed the class',
    }),
});

/** Answer to a predict request. */
export const predictResponseSchema = z
  .object({
    model: z.string(),
    version: z.string(),
    predictions: z.array(prediction).meta({ description: 'one a sample, in the order of the files' }),
    adaptation: z.object({
      lame: z
        .object({
          scope: z.enum(['request', 'stream']),
          samples: z.int().meta({ description: "samples that took part, with the stream's before them" }),
          iterations: z.int(),
          changed: z.int().meta({ description: 'samples whose class changed' }),
          window: z.number().min(1).optional().meta({
            description:
              'with window: auto: samples that one was adapted with, itself counted, on average; 1 where none was',
          }),
          decision: z.enum(['runs', 'some-runs', 'shuffled', 'alone']).optional().meta({
            description:
              'with window: auto: whether all, some or none of the samples are in runs that agree; alone: nothing to compare with',
          }),
        })
        .optional(),
      smoothing: z
        .object({
          mode: z.enum(['fixed', 'mixing-network', 'nonlinear']),
          alpha: z.tuple([z.number(), z.number()]).meta({ description: 'the least and the greatest' }),
        })
        .optional(),
      modulation: z.object({ missing: z.array(z.array(z.string())) }).optional(),
      prompt: z.object({ version: z.string() }).optional(),
    }),
    timings_ms: z.object({
      decode: z.number().optional(),
      modulate: z.number().optional(),
      prompt: z.number().optional(),
      certify: z.number().optional(),
      queue: z.number().optional(),
      forward: z.number().optional(),
      smooth: z.number().optional(),
      lame: z.number().optional(),
      total: z.number(),
    }),
  })
  .meta({ id: 'PredictResponse' });

/** RFC 9457 problem details. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'what was wrong, and what would be right' }),
    code: z.string(),
    request_id: z.string(),
  })
  .meta({ id: 'Problem' });

/** Answer about a stream. */
export const streamSchema = z
  .object({
    id: z.string(),
    windows: z.array(
      z.object({
        model: z.string(),
        samples: z.int(),
        bytes: z.int(),
        age_seconds: z.number(),
        idle_seconds: z.number(),
      }),
    ),
  })
  .meta({ id: 'Stream' });

/** Answer of the list of models. */
export const modelListSchema = z
  .object({
    models: z.array(
      z.object({
        name: z.string(),
        version: z.string(),
        state: z.enum(['READY', 'LOADING', 'UNAVAILABLE']),
        reason: z.string(),
        task: z.string().optional(),
        provider: z.string().optional(),
        inputs: z.array(z.string()).optional(),
        labels: z.int().optional().meta({ description: 'number of classes' }),
        lame: z.string().optional().meta({ description: 'scope of LAME: request, stream or off' }),
        smoothing: z.string().optional().meta({
          description:
            'where the weight of the robust classifier comes from: fixed, mixing-network, nonlinear or off',
        }),
        prompt: z.string().optional().meta({ description: 'whether it can be prompted: on or off' }),
      }),
    ),
  })
  .meta({ id: 'ModelList' });

/** Body of a request for the repository's index. */
export const indexRequestSchema = z.looseObject({
  ready: z.boolean().optional().meta({ description: 'true lists only the models that answer' }),
});

/** Answer of the repository's index. */
export const indexResponseSchema = z
  .array(
    z.object({
      name: z.string(),
      version: z.string(),
      state: z.enum(['READY', 'LOADING', 'UNAVAILABLE']),
      reason: z.string(),
    }),
  )
  .meta({ id: 'RepositoryIndex' });

/** Body of a load or unload request. */
export const controlRequestSchema = z.looseObject({
  parameters: z.record(z.string(), z.unknown()).optional(),
});
