import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ZodOpenApiOperationObject } from 'zod-openapi';
import type { ServedModel } from '../pipeline/serving.js';

/** One request and its answer, as a route's handler sees them. */
export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** The path without the query. */
  readonly path: string;
  /** The decoded parts of the path that the route's template names. */
  readonly params: Readonly<Record<string, string>>;
  /** The query, without its question mark. */
  readonly search: string;
  /** The client's X-Request-Id, or one made up. */
  readonly requestId: string;
  /** The route's template: a bounded label for metrics. */
  readonly route: string;
  /** Set by handlers to the name of a model that exists, and only then: it becomes a metric's label. */
  model: string;
  /** The model that is kept in service until the handler has ended. */
  chosen: ServedModel | undefined;
  /** Bytes of its body that the server holds: see body-budget.ts. */
  heldBytes: number;
  /** Its place among the requests in flight. */
  place: number;
  /** What went wrong, for the log. */
  error: unknown;
}

/** A path of the API: how it is reached, described and answered. */
export interface Route {
  readonly method: 'get' | 'post' | 'delete';
  /** As OpenAPI writes it: `/v2/models/{model}/ready`. */
  readonly path: string;
  /** What OpenAPI says of it; undefined for pages that are no API. */
  readonly operation?: ZodOpenApiOperationObject;
  /** Asked so often that its log lines are worth a debug level only. */
  readonly quiet?: boolean;
  /** Answered before Express is asked: see hot-routes.ts. */
  readonly hot?: boolean;
  handle(exchange: Exchange): Promise<void> | void;
}
