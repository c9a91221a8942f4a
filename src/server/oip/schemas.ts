import { z } from 'zod';
import { datatypeNames } from './datatypes.js';

/** `parameters` of the protocol: what a server does not know it ignores. */
const parameters = z.record(z.string(), z.unknown());

const shape = z.array(z.int().min(0)).meta({ description: 'every dimension, the batch first' });

/** Checked by tensor-data.ts, element by element. */
const data = z.unknown().meta({
  description:
    'elements in row-major order, flat or nested as the shape says; left out where they come as binary',
  override: { type: 'array', items: {} },
});

const requestInput = z.looseObject({
  name: z.string(),
  shape,
  datatype: z.string().meta({ override: { type: 'string', enum: datatypeNames } }),
  parameters: parameters
    .optional()
    .meta({ description: '`binary_data_size`: bytes of this tensor after the JSON' }),
  data: data.optional(),
});

const requestOutput = z.looseObject({
  name: z.string(),
  parameters: parameters.optional().meta({
    description:
      '`binary_data`: answer as bytes after the JSON; `classification`: the n most probable classes',
  }),
});

/** Body of an inference request. */
export const inferRequestSchema = z
  .looseObject({
    id: z.string().optional(),
    parameters: parameters.optional().meta({
      description:
        '`binary_data_output`: answer all outputs as bytes; `lame`: true or false; `stream`: the stream that the samples continue',
    }),
    inputs: z.array(requestInput).min(1),
    outputs: z.array(requestOutput).optional(),
  })
  .meta({ id: 'InferRequest' });

/** Answer to an inference request. */
export const inferResponseSchema = z
  .object({
    model_name: z.string(),
    model_version: z.string(),
    id: z.string().optional(),
    parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    outputs: z.array(
      z.object({
        name: z.string(),
        datatype: z.enum(datatypeNames),
        shape,
        parameters: z.object({ binary_data_size: z.int() }).optional(),
        data: z.array(z.union([z.number(), z.boolean(), z.string()])).optional(),
      }),
    ),
  })
  .meta({ id: 'InferResponse' });

const tensorMetadata = z.object({
  name: z.string(),
  datatype: z.enum(datatypeNames),
  shape: z.array(z.int().min(-1)).meta({ description: '-1 for a dimension that may vary' }),
});

/** Answer of a model's metadata. */
export const modelMetadataSchema = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(tensorMetadata),
    outputs: z.array(tensorMetadata),
  })
  .meta({ id: 'ModelMetadata' });

/** Answer of the server's metadata. */
export const serverMetadataSchema = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .meta({ id: 'ServerMetadata' });

/** An error, as the protocol has it. */
export const oipErrorSchema = z.object({ error: z.string() }).meta({ id: 'OipError' });
