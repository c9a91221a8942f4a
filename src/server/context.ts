import type { Logger } from 'pino';
import type { Models } from '../pipeline/serving.js';
import type { BodyBudget } from './body-budget.js';
import type { ServerConfig } from './config.js';
import type { Metrics } from './metrics.js';
import type { InFlight } from './in-flight.js';
import type { VideoSlots } from './video-upload.js';
import type { ParsingThread } from './parsing/parsing-thread.js';

/** What the routes of one server share. */
export interface ServerContext {
  readonly config: ServerConfig;
  readonly models: Models;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Parses what is too large for the main thread. */
  readonly parsing: ParsingThread;
  /** Bytes of the bodies in flight. */
  readonly bodies: BodyBudget;
  /** Videos in the server. */
  readonly videos: VideoSlots;
  readonly lifecycle: Lifecycle;
  /** Requests that are not answered yet. */
  readonly inFlight: InFlight;
}

/** Where the server stands between its start and its end. */
export interface Lifecycle {
  draining: boolean;
}
