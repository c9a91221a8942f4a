import { z } from 'zod';
import { BallastError } from '../../errors.js';
import type { BatchResult } from '../../pipeline/batch.js';
import type { ServedModel } from '../../pipeline/serving.js';
import { readBody } from '../body.js';
import type { ServerContext } from '../context.js';
import { withDeadline } from '../deadline.js';
import { modelOf, refuseWhileDraining } from '../model-of.js';
import { classify } from '../oip/classification.js';
import { inferOptions } from '../oip/infer-options.js';
import type { InferRequest, RequestedOutput } from '../oip/infer-request.js';
import { writeInferResponse, type NamedTensor } from '../oip/infer-response.js';
import { offeredTensor, offersOf, type Offer } from '../oip/offers.js';
import { inferRequestSchema, inferResponseSchema } from '../oip/schemas.js';
import { jsonAnswer, oipErrors, SAMPLE_ERRORS, type Operation } from '../operation.js';
import { send } from '../respond.js';
import type { Exchange, Route } from '../route.js';

const HEADER_LENGTH = 'inference-header-content-length';

/** `POST /v2/models/{model}[/versions/{version}]/infer`: the Open Inference Protocol's inference. */
export function inferRoutes(context: ServerContext): Route[] {
  const handle = (exchange: Exchange): Promise<void> => infer(context, exchange);
  const model = z.string().meta({ example: 'cifar10' });
  return [
    {
      method: 'post',
      path: '/v2/models/{model}/infer',
      hot: true,
      operation: operation(z.object({ model })),
      handle,
    },
    {
      method: 'post',
      path: '/v2/models/{model}/versions/{version}/infer',
      hot: true,
      operation: operation(z.object({ model, version: z.string() })),
      handle,
    },
  ];
}

function operation(path: z.ZodObject): Operation {
  const binary = {
    schema: {
      type: 'string' as const,
      format: 'binary',
      description: 'JSON of the length that Inference-Header-Content-Length says, then the binary tensors',
    },
  };
  const length = z.int().optional().meta({
    description:
      'bytes of JSON before the binary tensors; left out where all is JSON; 0 for the bytes of one tensor alone',
  });
  return {
    summary: 'Infer',
    description: 'Open Inference Protocol v2, with the binary tensor data and classification extensions.',
    tags: ['open inference protocol'],
    requestParams: { path, header: z.object({ 'Inference-Header-Content-Length': length }) },
    requestBody: {
      required: true,
      content: { 'application/json': { schema: inferRequestSchema }, 'application/octet-stream': binary },
    },
    responses: {
      200: {
        ...jsonAnswer('The outputs', inferResponseSchema),
        headers: z.object({ 'Inference-Header-Content-Length': length }),
        content: { 'application/json': { schema: inferResponseSchema }, 'application/octet-stream': binary },
      },
      ...oipErrors(SAMPLE_ERRORS),
    },
  };
}

async function infer(context: ServerContext, exchange: Exchange): Promise<void> {
  refuseWhileDraining(context);
  const model = modelOf(context, exchange);
  const body = await readBody(context, exchange);
  const jsonBytes = jsonLength(exchange, body);
  const request = await context.parsing.run({
    kind: 'infer',
    body,
    jsonBytes,
    specs: model.inputs,
    mayLack: model.config.modulation !== undefined,
  });
  const wanted = wantedOutputs(model, request);
  const outputs = wanted.flatMap(({ offer }) => (offer.source === 'model' ? [offer.spec.name] : []));
  const result = await withDeadline(context, exchange, (signal) =>
    model.infer(request.inputs, inferOptions(request.parameters, outputs, signal)),
  );
  const response = await writeInferResponse(
    {
      model_name: model.name,
      model_version: model.version,
      id: request.id,
      parameters: adaptationParameters(result),
    },
    wanted.map(({ output, offer }) => namedTensor(model, result, output, offer)),
  );
  if (response.jsonBytes === undefined) send(exchange, 200, 'application/json', response.body);
  else {
    send(exchange, 200, 'application/octet-stream', response.body, {
      [HEADER_LENGTH]: String(response.jsonBytes),
    });
  }
}

function jsonLength({ req }: Exchange, body: Buffer): number {
  const header = req.headers[HEADER_LENGTH];
  if (header === undefined) return body.byteLength;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header) && Number(header) <= body.byteLength) {
    return Number(header);
  }
  throw new BallastError(
    'invalid-input',
    `Inference-Header-Content-Length must be the length of the JSON, at most the body's ${body.byteLength} bytes; it is "${String(header).slice(0, 32)}".`,
  );
}

function wantedOutputs(
  model: ServedModel,
  { outputs, binaryOutput }: InferRequest,
): { output: RequestedOutput; offer: Offer }[] {
  const offers = offersOf(model);
  if (!outputs) {
    return offers.map((offer) => ({ output: { name: offer.spec.name, binary: binaryOutput }, offer }));
  }
  return outputs.map((output) => {
    const offer = offers.find(({ spec }) => spec.name === output.name);
    if (offer) return { output, offer };
    throw new BallastError(
      'invalid-input',
      `There is no output "${output.name.slice(0, 64)}"; this model answers ${offers.map(({ spec }) => `"${spec.name}"`).join(', ')}.`,
    );
  });
}

function namedTensor(
  model: ServedModel,
  result: BatchResult,
  { name, binary, classification }: RequestedOutput,
  offer: Offer,
): NamedTensor {
  const tensor = offeredTensor(offer, result);
  if (!tensor) throw new Error(`The pipeline did not answer the output "${name}".`);
  if (classification === undefined) return { name, tensor, binary };
  return { name, tensor: classify(name, tensor, classification, model.labels), binary };
}

/** What adaptation did; JSON leaves out what is undefined. */
function adaptationParameters({
  lame,
  smoothing,
  prompt,
}: BatchResult): Record<string, string | number | undefined> | undefined {
  if (lame === undefined && smoothing === undefined && prompt === undefined) return undefined;
  return {
    lame_scope: lame?.scope,
    lame_samples: lame?.samples,
    lame_iterations: lame?.iterations,
    lame_changed: lame?.changed,
    lame_window: lame?.window,
    lame_decision: lame?.decision,
    prompt_version: prompt?.version,
    smoothing_mode: smoothing?.mode,
    smoothing_alpha_least: smoothing?.alpha[0],
    smoothing_alpha_greatest: smoothing?.alpha[1],
  };
}
