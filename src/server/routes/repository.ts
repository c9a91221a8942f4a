import { z } from 'zod';
import { BallastError, messageOf } from '../../errors.js';
import { TELLING, whereFoundAndRight } from '../../schema-mistake.js';
import { readBody } from '../body.js';
import type { ServerContext } from '../context.js';
import { modelNameOf } from '../model-of.js';
import { jsonAnswer, oipErrors } from '../operation.js';
import { sendJson } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { controlRequestSchema, indexRequestSchema, indexResponseSchema } from '../schemas.js';

const tags = ['model repository'];
const path = z.object({ model: z.string().meta({ example: 'cifar10' }) });
const emptySchema = z.object({}).meta({ id: 'Done' });

/** Triton's model repository extension: index, load, unload. */
export function repositoryRoutes(context: ServerContext): Route[] {
  const control = (verb: 'load' | 'unload', summary: string, description: string): Route => ({
    method: 'post',
    path: `/v2/repository/models/{model}/${verb}`,
    operation: {
      summary,
      description,
      tags,
      requestParams: { path },
      requestBody: { content: { 'application/json': { schema: controlRequestSchema } } },
      responses: {
        200: jsonAnswer('Done', emptySchema),
        ...oipErrors(['400', '404', '422', '503']),
      },
    },
    handle: (exchange) => changeModel(context, exchange, verb),
  });
  return [
    {
      method: 'post',
      path: '/v2/repository/index',
      operation: {
        summary: 'The models of the repository',
        tags,
        requestBody: { content: { 'application/json': { schema: indexRequestSchema } } },
        responses: {
          200: jsonAnswer('Every model, loaded or not', indexResponseSchema),
          ...oipErrors(['400']),
        },
      },
      handle: async (exchange) => {
        const { ready } = await readSmallJson(context, exchange, indexRequestSchema);
        const models = context.models.index();
        sendJson(exchange, ready === true ? models.filter(({ state }) => state === 'READY') : models);
      },
    },
    control('load', 'Load a model, or load it anew', 'Atomic: requests in flight finish on the old model.'),
    control('unload', 'Unload a model', 'Requests in flight are answered first.'),
  ];
}

async function changeModel(
  context: ServerContext,
  exchange: Exchange,
  verb: 'load' | 'unload',
): Promise<void> {
  if (!context.config.repositoryControl) {
    throw new BallastError(
      'not-found',
      'This server does not let clients load and unload models (--repository-control).',
    );
  }
  const name = modelNameOf(exchange);
  const { parameters } = await readSmallJson(context, exchange, controlRequestSchema);
  const refused = Object.keys(parameters ?? {}).find((key) => key === 'config' || key.startsWith('file:'));
  if (refused !== undefined) {
    throw new BallastError(
      'invalid-input',
      `The parameter "${refused.slice(0, 64)}" is not taken: a model is what lies in its folder, configured by its model.yaml.`,
    );
  }
  await context.models[verb](name);
  exchange.model = name;
  context.logger.info({ model: name }, `model ${name}: ${verb} done`);
  sendJson(exchange, {});
}

/** Reads a JSON body that may be left out. */
async function readSmallJson<T extends z.ZodType>(
  context: ServerContext,
  exchange: Exchange,
  schema: T,
): Promise<z.output<T>> {
  const body = await readBody(context, exchange);
  let value: unknown;
  try {
    value = body.byteLength === 0 ? {} : JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new BallastError('invalid-input', `The body is no JSON: ${messageOf(error)}.`);
  }
  const parsed = schema.safeParse(value, TELLING);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new BallastError('invalid-input', `The body is wrong: ${whereFoundAndRight(issue)}.`);
}
