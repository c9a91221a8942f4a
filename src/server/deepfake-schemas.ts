import { z } from 'zod';
import { numericText } from '../numeric-text.js';
import { predictQuerySchema, predictResponseSchema } from './schemas.js';

/** Frames of a video that a request may have looked at. */
const MOST_FRAMES = 128;

const { stream, lame, smoothing, alpha, prompt } = predictQuerySchema.shape;

/** Query of a deepfake request. */
export const deepfakeQuerySchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'the deepfake model, where several are served', example: 'deepfake' }),
  faces: z.enum(['detect', 'crop']).default('detect').meta({
    description: 'detect: faces are found in pictures; crop: every picture is an aligned face already',
  }),
  require: z
    .literal('face')
    .optional()
    .meta({ description: 'face: what has no face is answered 422, not with the verdict no-face' }),
  frames: numericText(z.int().min(1).max(MOST_FRAMES))
    .default(32)
    .meta({
      description: 'frames of a video that are looked at, spread over its length',
      override: { type: 'integer', minimum: 1, maximum: MOST_FRAMES, default: 32 },
    }),
  ...{ lame, smoothing, alpha, prompt, stream },
});

const verdict = z.enum(['real', 'unsure', 'fake', 'no-face']);
const score = z.number().min(0).max(1).meta({ description: 'probability of fake' });

const face = z.object({
  box: z
    .object({ x: z.number(), y: z.number(), width: z.number(), height: z.number() })
    .optional()
    .meta({ description: 'in pixels of the picture; left out for crops' }),
  landmarks: z
    .array(z.tuple([z.number(), z.number()]))
    .optional()
    .meta({
      description: "the eye at the picture's left, the other, the tip of the nose, the corners of the mouth",
    }),
  detection: z.number().min(0).max(1).optional().meta({ description: 'how sure the face detector is' }),
  score,
  base: z.number().min(0).max(1).meta({ description: 'what the model alone said' }),
  verdict,
  alpha: z.number().min(0).max(1).optional().meta({ description: 'weight of the robust classifier' }),
  person: z.int().optional().meta({ description: 'of a video: whose face it is, an index of `persons`' }),
});

const lameReport = predictResponseSchema.shape.adaptation.shape.lame.unwrap();

const spread = {
  score: score.meta({ description: 'the mean probability of fake over the frames' }),
  deviation: z.number(),
  least: z.number(),
  greatest: z.number(),
};

/** Answer to a deepfake request. */
export const deepfakeResponseSchema = z
  .object({
    model: z.string(),
    version: z.string(),
    media: z.enum(['image', 'video']),
    verdict: verdict.meta({ description: 'the gravest of all pictures, or persons of the video' }),
    score: score.nullable().meta({ description: 'probability of fake; null where there is no face' }),
    threshold: z.number().meta({ description: 'from where on a score means fake' }),
    unsure: z
      .tuple([z.number(), z.number()])
      .nullable()
      .meta({ description: 'between these two the verdict is unsure' }),
    images: z
      .array(
        z.object({
          width: z.int().optional(),
          height: z.int().optional(),
          verdict,
          score: score.nullable(),
          faces: z.array(face),
          lame: lameReport.optional(),
        }),
      )
      .optional()
      .meta({ description: 'one a picture, in the order of the files' }),
    video: z
      .object({
        seconds: z.number(),
        frames: z.int(),
        frames_per_second: z.number(),
        width: z.int(),
        height: z.int(),
        codec: z.string(),
        missing: z.int().meta({ description: 'wanted frames that could not be decoded' }),
      })
      .optional(),
    persons: z
      .array(z.object({ ...spread, verdict, frames: z.int(), lame: lameReport.optional() }))
      .optional()
      .meta({ description: 'faces of a video that were followed from frame to frame' }),
    frames: z
      .array(z.object({ index: z.int(), seconds: z.number(), score: score.nullable(), faces: z.array(face) }))
      .optional()
      .meta({ description: 'the frames of a video that were looked at, in the order of time' }),
    smoothing: z
      .object({
        mode: z.enum(['fixed', 'mixing-network', 'nonlinear']),
        alpha: z.tuple([z.number(), z.number()]),
      })
      .optional(),
    timings_ms: z.object({
      decode: z.number(),
      detect: z.number(),
      align: z.number(),
      classify: z.number(),
      total: z.number(),
    }),
  })
  .meta({ id: 'DeepfakeResponse' });

export type DeepfakeResponse = z.input<typeof deepfakeResponseSchema>;
