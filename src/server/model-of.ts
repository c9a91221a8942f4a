import { BallastError } from '../errors.js';
import type { ServedModel } from '../pipeline/serving.js';
import type { ServerContext } from './context.js';
import type { Exchange } from './route.js';

const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * The name of a model in the path.
 * @throws BallastError unknown-model where no model can have it: a path out of the folder, say
 */
export function modelNameOf(exchange: Exchange): string {
  const name = exchange.params['model'] ?? '';
  if (MODEL_NAME.test(name)) return name;
  throw new BallastError('unknown-model', `There is no model ${JSON.stringify(name.slice(0, 64))}.`);
}

/**
 * The model, and version if any, that the path names, chosen for the request.
 * @throws BallastError unknown-model, unavailable
 */
export function modelOf(context: ServerContext, exchange: Exchange): ServedModel {
  const model = context.models.get(modelNameOf(exchange), exchange.params['version']);
  choose(exchange, model);
  return model;
}

/** The request counts as one for the model from here on, and keeps it in service until the handler has ended. */
export function choose(exchange: Exchange, model: ServedModel): void {
  exchange.model = model.name;
  model.retain();
  exchange.chosen?.release();
  exchange.chosen = model;
}

/** @throws BallastError unavailable once the server has begun to stop */
export function refuseWhileDraining(context: ServerContext): void {
  if (!context.lifecycle.draining) return;
  context.metrics.rejected('draining');
  throw new BallastError('unavailable', 'The server is shutting down.', { retryAfterSeconds: 5 });
}
