import type { ServerContext } from '../context.js';
import { send } from '../respond.js';
import type { Route } from '../route.js';

/** `GET /metrics`: Prometheus. */
export function metricsRoutes({ metrics }: ServerContext): Route[] {
  return [
    {
      method: 'get',
      path: '/metrics',
      quiet: true,
      hot: true,
      operation: {
        summary: 'Metrics for Prometheus',
        tags: ['health'],
        responses: {
          200: { description: 'Text format', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
      handle: async (exchange) => {
        send(exchange, 200, metrics.contentType, await metrics.text());
      },
    },
  ];
}
