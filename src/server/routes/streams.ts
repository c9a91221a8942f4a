import { z } from 'zod';
import { BallastError } from '../../errors.js';
import { foundAndRight, TELLING } from '../../schema-mistake.js';
import type { ServerContext } from '../context.js';
import { jsonAnswer, problems } from '../operation.js';
import { sendJson, sendNothing } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { streamIdSchema, streamSchema } from '../schemas.js';

/** `GET` and `DELETE /v1/streams/{id}`: what is kept of a stream, and an end to it. */
export function streamRoutes(context: ServerContext): Route[] {
  const { streams } = context.models;
  const tags = ['streams'];
  const requestParams = { path: z.object({ id: streamIdSchema }) };
  return [
    {
      method: 'get',
      path: '/v1/streams/{id}',
      operation: {
        summary: 'What is kept of a stream',
        tags,
        requestParams,
        responses: {
          200: jsonAnswer('Its windows, one a model', streamSchema),
          ...problems(['400', '404']),
        },
      },
      handle: (exchange) => {
        const id = streamIdOf(exchange);
        const windows = streams.describe(id);
        if (windows.length === 0) throw unknownStream(id);
        const answer: z.input<typeof streamSchema> = {
          id,
          windows: windows.map(({ ageSeconds, idleSeconds, ...window }) => ({
            ...window,
            age_seconds: milliseconds(ageSeconds),
            idle_seconds: milliseconds(idleSeconds),
          })),
        };
        sendJson(exchange, answer);
      },
    },
    {
      method: 'delete',
      path: '/v1/streams/{id}',
      operation: {
        summary: 'Forget a stream',
        tags,
        requestParams,
        responses: { 204: { description: 'It is forgotten' }, ...problems(['400', '404']) },
      },
      handle: (exchange) => {
        const id = streamIdOf(exchange);
        if (!streams.forget(id)) throw unknownStream(id);
        sendNothing(exchange);
      },
    },
  ];
}

function streamIdOf({ params }: Exchange): string {
  const parsed = streamIdSchema.safeParse(params['id'], TELLING);
  if (parsed.success) return parsed.data;
  throw new BallastError(
    'invalid-input',
    `The stream's name is wrong: ${foundAndRight(parsed.error.issues[0])}.`,
  );
}

function unknownStream(id: string): BallastError {
  return new BallastError('unknown-stream', `Nothing is kept of a stream "${id}".`);
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
