import { z } from 'zod';
import { BallastError } from '../../errors.js';
import type { ModelStatus } from '../../pipeline/serving.js';
import type { TensorSpec } from '../../runtime/tensor.js';
import type { ServerContext } from '../context.js';
import { modelNameOf, modelOf } from '../model-of.js';
import { datatypeOf } from '../oip/datatypes.js';
import { offersOf } from '../oip/offers.js';
import { modelMetadataSchema, oipErrorSchema, serverMetadataSchema } from '../oip/schemas.js';
import { jsonAnswer, oipErrors } from '../operation.js';
import { sendJson } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { modelListSchema } from '../schemas.js';
import { packageName, packageVersion } from '../version.js';

const tags = ['open inference protocol'];
const model = z.string().meta({ example: 'cifar10' });
const versioned = z.object({ model, version: z.string() });
const unversioned = z.object({ model });
const readySchema = z.object({ name: z.string(), ready: z.boolean() }).meta({ id: 'ModelReady' });

/** Extensions of the Open Inference Protocol that are spoken here, by the names that Triton gave them. */
const EXTENSIONS = ['binary_tensor_data', 'classification', 'model_repository'];

/** What there is: the server's and the models' metadata, the models' readiness, the list of models. */
export function modelRoutes(context: ServerContext): Route[] {
  const metadata = (exchange: Exchange): void => {
    sendMetadata(context, exchange);
  };
  const ready = (exchange: Exchange): void => {
    sendReady(context, exchange);
  };
  return [
    {
      method: 'get',
      path: '/v2',
      operation: {
        summary: "The server's metadata",
        tags,
        responses: { 200: jsonAnswer('Name, version and extensions', serverMetadataSchema) },
      },
      handle: (exchange) => {
        sendJson(exchange, { name: packageName, version: packageVersion, extensions: EXTENSIONS });
      },
    },
    ...[unversioned, versioned].flatMap((path): Route[] => {
      const base = path === versioned ? '/v2/models/{model}/versions/{version}' : '/v2/models/{model}';
      return [
        {
          method: 'get',
          path: base,
          operation: {
            summary: "A model's metadata",
            tags,
            requestParams: { path },
            responses: {
              200: jsonAnswer('Inputs and outputs', modelMetadataSchema),
              ...oipErrors(['404', '503']),
            },
          },
          handle: metadata,
        },
        {
          method: 'get',
          path: `${base}/ready`,
          quiet: true,
          operation: {
            summary: 'Whether a model answers',
            tags,
            requestParams: { path },
            responses: {
              200: jsonAnswer('It does', readySchema),
              404: jsonAnswer('There is no such model', oipErrorSchema),
              503: jsonAnswer('It does not', readySchema),
            },
          },
          handle: ready,
        },
      ];
    }),
    {
      method: 'get',
      path: '/v1/models',
      operation: {
        summary: 'The models of the repository',
        tags: ['predict'],
        responses: { 200: jsonAnswer('Every model, loaded or not', modelListSchema) },
      },
      handle: (exchange) => {
        sendJson(exchange, { models: context.models.index().map((status) => describe(context, status)) });
      },
    },
  ];
}

function sendMetadata(context: ServerContext, exchange: Exchange): void {
  const served = modelOf(context, exchange);
  sendJson(exchange, {
    name: served.name,
    versions: context.models
      .index()
      .filter(({ name, state }) => name === served.name && state === 'READY')
      .map(({ version }) => version),
    platform: 'onnx_onnxv1',
    inputs: served.inputs.map(tensorMetadata),
    outputs: offersOf(served).map(({ spec }) => tensorMetadata(spec)),
  });
}

function tensorMetadata({
  name,
  type,
  dims,
}: TensorSpec): z.input<typeof modelMetadataSchema>['inputs'][number] {
  return { name, datatype: datatypeOf(type).name, shape: [...dims] };
}

function sendReady(context: ServerContext, exchange: Exchange): void {
  const name = modelNameOf(exchange);
  const { version } = exchange.params as { version?: string };
  const statuses = context.models
    .index()
    .filter((status) => status.name === name && (version === undefined || status.version === version));
  if (statuses.length === 0) {
    throw new BallastError(
      'unknown-model',
      `There is no model "${name}"${version === undefined ? '' : ' of that version'}.`,
    );
  }
  exchange.model = name;
  const ready = statuses.some(({ state }) => state === 'READY');
  sendJson(exchange, { name, ready }, ready ? 200 : 503);
}

function describe(
  context: ServerContext,
  status: ModelStatus,
): z.input<typeof modelListSchema>['models'][number] {
  if (status.state !== 'READY') return { ...status };
  const served = context.models.get(status.name, status.version);
  return {
    ...status,
    task: served.config.task,
    provider: served.provider,
    inputs: Object.keys(served.config.inputs),
    labels: served.labels.length,
    lame: served.config.lame?.scope ?? 'off',
    smoothing: served.config.smoothing?.mode ?? 'off',
    prompt: served.prompts === undefined ? 'off' : 'on',
  };
}
