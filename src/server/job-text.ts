import { z } from 'zod';
import type { Job } from '../pipeline/jobs.js';

const scoreSchema = z.object({
  loss: z.number().meta({ description: 'mean cross-entropy' }),
  accuracy: z.number().min(0).max(1),
});

/** A job, as clients see it. */
export const jobSchema = z
  .object({
    id: z.string(),
    kind: z.literal('prompt'),
    model: z.string(),
    version: z.string(),
    state: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    created: z.string(),
    finished: z.string().optional(),
    pictures: z.int(),
    progress: z
      .object({
        step: z.int(),
        steps: z.int(),
        loss: z.number().meta({ description: "of the latest step's candidates" }),
        queries: z.int().meta({ description: 'pictures that the classifier was asked about' }),
        base: scoreSchema.meta({ description: 'on the validation share, without a prompt' }),
        validation: scoreSchema.meta({ description: 'at the latest look' }),
        best: scoreSchema.extend({ step: z.int() }),
        seconds_left: z.int(),
      })
      .optional(),
    result: z
      .object({
        prompt: z.string().meta({ description: 'the version' }),
        active: z.boolean(),
        verdict: z.string(),
        base: scoreSchema,
        validation: scoreSchema,
      })
      .optional(),
    error: z.object({ code: z.string(), detail: z.string() }).optional(),
  })
  .meta({ id: 'Job' });

/** The list of jobs. */
export const jobListSchema = z.object({ jobs: z.array(jobSchema) }).meta({ id: 'JobList' });

/** A job as an answer has it. */
export function jobBody(job: Job): z.input<typeof jobSchema> {
  const { progress, ...rest } = job;
  if (progress === undefined) return rest;
  const { secondsLeft, ...shown } = progress;
  return { ...rest, progress: { ...shown, seconds_left: secondsLeft } };
}

/** A job as JSON. */
export function jobText(job: Job): string {
  return JSON.stringify(jobBody(job));
}
