import { z } from 'zod';
import { BallastError } from '../../errors.js';
import type { RequestOptions } from '../../pipeline/batch.js';
import type { EncodedInputs, ServedModel } from '../../pipeline/serving.js';
import { mediaTypeOf, readBody } from '../body.js';
import type { ServerContext } from '../context.js';
import { withDeadline } from '../deadline.js';
import { sendEvents, wantsEvents } from '../event-stream.js';
import { modelOf, refuseWhileDraining } from '../model-of.js';
import { readMultipart } from '../multipart.js';
import { jsonAnswer, problems, SAMPLE_ERRORS } from '../operation.js';
import { predictionText } from '../prediction-text.js';
import { readPredictQuery } from '../predict-query.js';
import { send } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { predictBodySchema, predictQuerySchema, predictResponseSchema } from '../schemas.js';

/** `POST /v1/models/{model}/predict`: files in, adapted predictions out. */
export function predictRoutes(context: ServerContext): Route[] {
  return [
    {
      method: 'post',
      path: '/v1/models/{model}/predict',
      hot: true,
      operation: {
        summary: 'Predict, adapted',
        description:
          "Files go in as multipart/form-data, named by the model's inputs, several of each (part i of each input belongs to sample i, or a part named `audio[3]` to sample 3, where some are missing); as JSON with base64, null for what is missing; or a single file as the body itself. Where Accept is text/event-stream, the answer comes as events: progress while certificates are computed, then result.",
        tags: ['predict'],
        requestParams: {
          path: z.object({ model: z.string().meta({ example: 'cifar10' }) }),
          query: predictQuerySchema,
        },
        requestBody: {
          required: true,
          content: {
            'multipart/form-data': {
              schema: {
                type: 'object',
                properties: { image: { type: 'array', items: { type: 'string', format: 'binary' } } },
                additionalProperties: { type: 'array', items: { type: 'string', format: 'binary' } },
              },
            },
            'application/json': { schema: predictBodySchema },
            'image/*': { schema: { type: 'string', format: 'binary' } },
            'audio/*': { schema: { type: 'string', format: 'binary' } },
          },
        },
        responses: {
          200: jsonAnswer('A prediction for each sample', predictResponseSchema),
          ...problems(SAMPLE_ERRORS),
        },
      },
      handle: (exchange) => predict(context, exchange),
    },
  ];
}

async function predict(context: ServerContext, exchange: Exchange): Promise<void> {
  refuseWhileDraining(context);
  const model = modelOf(context, exchange);
  const query = readPredictQuery(exchange.search);
  const { lame, stream, smoothing, alpha, certify, prompt } = query;
  const files = await readFiles(context, exchange, model);
  const answer = async (onProgress?: RequestOptions['onProgress']): Promise<string> => {
    const result = await withDeadline(context, exchange, (signal) =>
      model.predict(files, { lame, stream, smoothing, alpha, certify, prompt, signal, onProgress }),
    );
    return predictionText(model, result, query.top);
  };
  if (wantsEvents(exchange)) await sendEvents(exchange, answer);
  else send(exchange, 200, 'application/json', await answer());
}

async function readFiles(
  context: ServerContext,
  exchange: Exchange,
  model: ServedModel,
): Promise<EncodedInputs> {
  const names = Object.entries(model.config.inputs).flatMap(([name, { kind }]) =>
    kind === 'tensor' ? [] : [name],
  );
  if (model.config.task === 'raw' || names.length === 0) {
    throw new BallastError(
      'impossible',
      `The model "${model.name}" takes tensors, not files; send them to /v2/models/${model.name}/infer.`,
    );
  }
  const mediaType = mediaTypeOf(exchange.req);
  if (mediaType === 'multipart/form-data') return readMultipart(context, exchange, names);
  if (mediaType === 'application/json') {
    const body = await readBody(context, exchange);
    return context.parsing.run({ kind: 'files', body, names, maxFiles: context.config.maxFiles });
  }
  if (/^(image|audio)\//.test(mediaType) && names.length === 1) {
    return { [names[0]]: [await readBody(context, exchange)] };
  }
  throw new BallastError(
    'unsupported-media-type',
    `${mediaType === '' ? 'The request has no Content-Type' : `The Content-Type "${mediaType.slice(0, 64)}" is none that predict takes`}: send multipart/form-data with files as ${names.map((name) => `"${name}"`).join(', ')}, or application/json with base64.`,
  );
}
