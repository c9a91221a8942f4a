import { z } from 'zod';
import type { ServerContext } from '../context.js';
import { jsonAnswer } from '../operation.js';
import { sendJson } from '../respond.js';
import type { Route } from '../route.js';

const liveSchema = z.object({ live: z.boolean() }).meta({ id: 'Live' });
const readySchema = z.object({ ready: z.boolean() }).meta({ id: 'Ready' });

/** Liveness and readiness of the server, as the Open Inference Protocol has them. */
export function healthRoutes(context: ServerContext): Route[] {
  const tags = ['health'];
  return [
    {
      method: 'get',
      path: '/v2/health/live',
      quiet: true,
      hot: true,
      operation: {
        summary: 'Whether the server runs',
        tags,
        responses: { 200: jsonAnswer('It does', liveSchema) },
      },
      handle: (exchange) => {
        sendJson(exchange, { live: true });
      },
    },
    {
      method: 'get',
      path: '/v2/health/ready',
      quiet: true,
      hot: true,
      operation: {
        summary: 'Whether the server takes requests',
        description:
          'It does not while it shuts down, while models are still loading for the first time, or where every model failed to load.',
        tags,
        responses: { 200: jsonAnswer('It does', readySchema), 503: jsonAnswer('It does not', readySchema) },
      },
      handle: (exchange) => {
        const ready = isReady(context);
        sendJson(exchange, { ready }, ready ? 200 : 503);
      },
    },
  ];
}

/** One broken model does not take the others out of service; a model that was unloaded on request is no failure. */
function isReady({ lifecycle, models }: ServerContext): boolean {
  if (lifecycle.draining) return false;
  const statuses = models.index();
  if (statuses.some(({ state }) => state === 'LOADING')) return false;
  const failed = statuses.filter(({ state, reason }) => state === 'UNAVAILABLE' && reason !== 'unloaded');
  return failed.length === 0 || statuses.some(({ state }) => state === 'READY');
}
