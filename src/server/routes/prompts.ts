import { z } from 'zod';
import { BallastError } from '../../errors.js';
import type { ModelPrompts } from '../../pipeline/serving.js';
import { promptCardSchema } from '../../pipeline/prompt-versions.js';
import type { ServerContext } from '../context.js';
import { jobSchema, jobText } from '../job-text.js';
import { modelOf, refuseWhileDraining } from '../model-of.js';
import { jsonAnswer, problems, SAMPLE_ERRORS, type Operation } from '../operation.js';
import { onePicture } from '../one-picture.js';
import { fitQuerySchema, readFitOptions } from '../prompt-options.js';
import { send, sendJson, sendNothing } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { readShots } from '../shots.js';

const tags = ['prompts'];
const model = z.string().meta({ example: 'digits' });
const ofModel = z.object({ model });
const ofVersion = z.object({ model, prompt: z.string().meta({ example: '1' }) });
const versionsSchema = z
  .object({
    model: z.string(),
    active: z.string().nullable().meta({ description: 'what requests get which name none' }),
    versions: z.array(
      z.object({
        version: z.string(),
        active: z.boolean(),
        card: promptCardSchema.optional(),
        problem: z.string().optional().meta({ description: 'why it cannot be served' }),
      }),
    ),
  })
  .meta({ id: 'PromptVersions' });
const files = { type: 'array', items: { type: 'string', format: 'binary' } } as const;

/** `/v1/models/{model}/prompts`: fit, list, activate, look at and delete prompts. */
export function promptRoutes(context: ServerContext): Route[] {
  const preview: Operation = {
    summary: 'What a prompt does to a picture',
    description: 'The picture, the change (grey where there is none) and the prompted picture, side by side.',
    tags,
    requestParams: { path: ofVersion },
    requestBody: {
      required: true,
      content: {
        'multipart/form-data': { schema: { type: 'object', properties: { image: files } } },
        'image/*': { schema: { type: 'string', format: 'binary' } },
      },
    },
    responses: {
      200: {
        description: 'A PNG',
        content: { 'image/png': { schema: { type: 'string', format: 'binary' } } },
      },
      ...problems(SAMPLE_ERRORS),
    },
  };
  const sameWithGet: Operation = {
    summary: preview.summary!,
    description: 'As POST, for clients that can send a body with GET.',
    tags,
    requestParams: { path: ofVersion },
    responses: preview.responses,
  };
  const versionPath = '/v1/models/{model}/prompts/{prompt}';
  return [
    {
      method: 'post',
      path: '/v1/models/{model}/prompts',
      operation: {
        summary: 'Fit a prompt to labelled pictures',
        description:
          'A zip with a folder of pictures for each class, or a form of files "image" with as many fields "label". The job asks the classifier for answers alone. Its prompt becomes the active one if it beats the model without it on the pictures kept to judge by.',
        tags,
        requestParams: { path: ofModel, query: fitQuerySchema },
        requestBody: {
          required: true,
          content: {
            'application/zip': { schema: { type: 'string', format: 'binary' } },
            'multipart/form-data': {
              schema: {
                type: 'object',
                properties: { image: files, label: { type: 'array', items: { type: 'string' } } },
              },
            },
          },
        },
        responses: { 202: jsonAnswer('The job', jobSchema), 409: conflict(), ...problems(SAMPLE_ERRORS) },
      },
      handle: (exchange) => fit(context, exchange),
    },
    {
      method: 'get',
      path: '/v1/models/{model}/prompts',
      operation: {
        summary: 'The prompts of a model',
        tags,
        requestParams: { path: ofModel },
        responses: { 200: jsonAnswer('Every version', versionsSchema), ...problems(['404', '422', '503']) },
      },
      handle: (exchange) => list(context, exchange),
    },
    {
      method: 'post',
      path: `${versionPath}/activate`,
      operation: {
        summary: 'Make a version the one that requests get',
        description: 'The version "off" makes none active.',
        tags,
        requestParams: { path: ofVersion },
        responses: {
          200: jsonAnswer('Every version', versionsSchema),
          409: conflict(),
          ...problems(['404', '422', '503']),
        },
      },
      handle: async (exchange) => {
        const version = versionOf(exchange);
        await changeablePrompts(context, exchange).activate(version === 'off' ? undefined : version);
        await list(context, exchange);
      },
    },
    {
      method: 'delete',
      path: versionPath,
      operation: {
        summary: 'Delete a version',
        tags,
        requestParams: { path: ofVersion },
        responses: {
          204: { description: 'It is gone' },
          409: conflict(),
          ...problems(['404', '422', '503']),
        },
      },
      handle: async (exchange) => {
        await changeablePrompts(context, exchange).delete(versionOf(exchange));
        sendNothing(exchange);
      },
    },
    ...(['post', 'get'] as const).map((method): Route => ({
      method,
      path: `${versionPath}/preview`,
      operation: method === 'post' ? preview : sameWithGet,
      handle: async (exchange) => {
        const prompts = promptsOf(context, exchange);
        const picture = await onePicture(context, exchange);
        send(exchange, 200, 'image/png', await prompts.preview(picture, versionOf(exchange)));
      },
    })),
  ];
}

async function fit(context: ServerContext, exchange: Exchange): Promise<void> {
  refuseWhileDraining(context);
  const prompts = changeablePrompts(context, exchange);
  const options = readFitOptions(queryOf(exchange.search), prompts.isRemote);
  const job = await prompts.fit(await readShots(context, exchange), options);
  send(exchange, 202, 'application/json', jobText(job), { location: `/v1/jobs/${job.id}` });
}

async function list(context: ServerContext, exchange: Exchange): Promise<void> {
  const versions = await promptsOf(context, exchange).list();
  const answer: z.input<typeof versionsSchema> = {
    model: exchange.model,
    active: versions.find(({ active }) => active)?.version ?? null,
    versions,
  };
  sendJson(exchange, answer);
}

/** @throws BallastError not-found where clients may change nothing */
function changeablePrompts(context: ServerContext, exchange: Exchange): ModelPrompts {
  if (context.config.promptControl) return promptsOf(context, exchange);
  throw new BallastError(
    'not-found',
    'This server does not let clients fit, choose and delete prompts (--prompt-control).',
  );
}

function promptsOf(context: ServerContext, exchange: Exchange): ModelPrompts {
  const served = modelOf(context, exchange);
  if (served.prompts !== undefined) return served.prompts;
  throw new BallastError(
    'impossible',
    `Model "${served.name}" has no coordinator, so it has no prompts; prompt.coordinator in its model.yaml gives it one.`,
  );
}

function versionOf({ params }: Exchange): string {
  return params['prompt'] ?? '';
}

function queryOf(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

function conflict(): { description: string } {
  return { description: 'Not now: another job of this model, or a version that model.yaml pins' };
}
