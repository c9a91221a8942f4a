import type {
  ZodOpenApiOperationObject,
  ZodOpenApiResponseObject,
  ZodOpenApiResponsesObject,
} from 'zod-openapi';
import type { z } from 'zod';
import { oipErrorSchema } from './oip/schemas.js';
import { problemSchema } from './schemas.js';

const meanings: Readonly<Record<string, string>> = {
  400: 'Something about the request is wrong; the answer says what.',
  404: 'There is no such thing.',
  413: 'Too many bytes, files or pixels.',
  415: 'Not a type that this server takes.',
  422: 'Well-formed, but impossible.',
  429: 'The queue is full; Retry-After says when to try again.',
  503: 'Not ready, or shutting down; Retry-After says when to try again.',
  504: "The request's deadline passed.",
};

type ErrorStatus = '400' | '404' | '413' | '415' | '422' | '429' | '503' | '504';

/** The statuses of errors that a request with samples can meet. */
export const SAMPLE_ERRORS = ['400', '404', '413', '415', '422', '429', '503', '504'] as const;

/** A JSON answer, for OpenAPI. */
export function jsonAnswer(description: string, schema: z.ZodType): ZodOpenApiResponseObject {
  return { description, content: { 'application/json': { schema } } };
}

/** The errors of a path under /v1, for OpenAPI. */
export function problems(statuses: readonly ErrorStatus[]): ZodOpenApiResponsesObject {
  return errors(statuses, { 'application/problem+json': { schema: problemSchema } });
}

/** The errors of a path under /v2, for OpenAPI. */
export function oipErrors(statuses: readonly ErrorStatus[]): ZodOpenApiResponsesObject {
  return errors(statuses, { 'application/json': { schema: oipErrorSchema } });
}

function errors(
  statuses: readonly ErrorStatus[],
  content: NonNullable<ZodOpenApiResponseObject['content']>,
): ZodOpenApiResponsesObject {
  return Object.fromEntries(statuses.map((status) => [status, { description: meanings[status], content }]));
}

/** What OpenAPI says of a path. */
export type Operation = ZodOpenApiOperationObject;
