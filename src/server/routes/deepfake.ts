import { BallastError } from '../../errors.js';
import type { JudgeOptions } from '../../pipeline/deepfake-result.js';
import type { DeepfakeModel, ServedModel } from '../../pipeline/serving.js';
import type { ServerContext } from '../context.js';
import { withDeadline } from '../deadline.js';
import { picturesAnswer, videoAnswer } from '../deepfake-answer.js';
import { deepfakeQuerySchema, deepfakeResponseSchema, type DeepfakeResponse } from '../deepfake-schemas.js';
import { readMedia, type Media } from '../media.js';
import { choose, refuseWhileDraining } from '../model-of.js';
import { jsonAnswer, problems, SAMPLE_ERRORS } from '../operation.js';
import { readQuery } from '../query.js';
import { sendJson } from '../respond.js';
import type { Exchange, Route } from '../route.js';
import { predictBodySchema } from '../schemas.js';

const binary = { type: 'string', format: 'binary' } as const;

/** `POST /v1/deepfake`: pictures or a video in, how likely fake each face is out. */
export function deepfakeRoutes(context: ServerContext): Route[] {
  return [
    {
      method: 'post',
      path: '/v1/deepfake',
      operation: {
        summary: 'Real or fake?',
        description:
          'Pictures (files "image" of a form, JSON with base64, or one as the body) or one video (file "video" of a form, or the body): their faces are found, aligned and judged. A video is judged by frames spread over its length; its score is the mean of the frames. Where there is no face the verdict is no-face and the score null.',
        tags: ['deepfake'],
        requestParams: { query: deepfakeQuerySchema },
        requestBody: {
          required: true,
          content: {
            'multipart/form-data': {
              schema: {
                type: 'object',
                properties: { image: { type: 'array', items: binary }, video: binary },
              },
            },
            'application/json': { schema: predictBodySchema },
            'image/*': { schema: binary },
            'video/*': { schema: binary },
          },
        },
        responses: {
          200: jsonAnswer('What is said of the faces', deepfakeResponseSchema),
          ...problems(SAMPLE_ERRORS),
        },
      },
      handle: (exchange) => judge(context, exchange),
    },
  ];
}

async function judge(context: ServerContext, exchange: Exchange): Promise<void> {
  refuseWhileDraining(context);
  const query = readQuery(exchange.search, deepfakeQuerySchema);
  const [model, deepfake] = deepfakeModelOf(context, query.model);
  choose(exchange, model);
  const { faces, frames, lame, smoothing, alpha, prompt, stream } = query;
  const options: JudgeOptions = {
    ...{ faces, frames },
    ...(lame && { lame: lame === 'on' }),
    ...(smoothing && { smoothing: smoothing === 'on' }),
    ...(alpha !== undefined && { alpha }),
    ...(prompt !== undefined && { prompt }),
    ...(stream !== undefined && { stream }),
  };
  const media = await readMedia(context, exchange);
  const answer = await withDeadline(context, exchange, (signal) =>
    answerTo(media, { context, model, deepfake, options: { ...options, signal } }),
  );
  if (query.require === 'face') requireFace(answer);
  sendJson(exchange, answer);
}

interface Judging {
  readonly context: ServerContext;
  readonly model: ServedModel;
  readonly deepfake: DeepfakeModel;
  readonly options: JudgeOptions;
}

async function answerTo(
  media: Media,
  { context, model, deepfake, options }: Judging,
): Promise<DeepfakeResponse> {
  const { config, metrics } = context;
  if (media.kind === 'pictures') {
    const judged = await deepfake.judgePictures(media.files, options);
    for (const { verdict, score } of judged.pictures) metrics.judged(model.name, 'image', verdict, score);
    return picturesAnswer(model, deepfake, judged);
  }
  try {
    const limits = {
      maxSeconds: config.maxVideoSeconds,
      maxPixels: MAX_FRAME_PIXELS,
      timeoutMs: config.requestTimeout * 1000,
    };
    const judged = await deepfake.judgeVideo(media.video.path, limits, options);
    metrics.judged(model.name, 'video', judged.video.verdict, judged.video.score);
    return videoAnswer(model, deepfake, judged);
  } finally {
    await media.video.dispose();
  }
}

/** Pixels of a video's frame, at most: those of 8K. */
const MAX_FRAME_PIXELS = 7680 * 4320;

/**
 * The deepfake model that a request means: the one that it names, or the only one.
 * @throws BallastError unknown-model where none is served; impossible where the one named is of another task;
 *   invalid-input where several are served and none is named
 */
function deepfakeModelOf({ models }: ServerContext, name: string | undefined): [ServedModel, DeepfakeModel] {
  if (name !== undefined) {
    const model = models.get(name);
    if (model.deepfake !== undefined) return [model, model.deepfake];
    throw new BallastError(
      'impossible',
      `Model "${name}" is of task ${model.config.task}; ask one of task deepfake, or send this one to /v1/models/${name}/predict.`,
    );
  }
  const ready = models.index().filter(({ state }) => state === 'READY');
  const names = [...new Set(ready.map((status) => status.name))];
  const found = names.map((one) => models.get(one)).filter(({ deepfake }) => deepfake !== undefined);
  if (found.length === 1) return [found[0], found[0].deepfake!];
  if (found.length === 0) {
    throw new BallastError('unknown-model', 'No model of task deepfake is served.');
  }
  throw new BallastError(
    'invalid-input',
    `Several deepfake models are served; name one in the query: ${found.map((model) => `model=${model.name}`).join(', ')}.`,
  );
}

/** @throws BallastError impossible where a picture, or the video, has no face */
function requireFace({ media, images = [], verdict }: DeepfakeResponse): void {
  const without = images.findIndex((image) => image.verdict === 'no-face');
  if (media === 'video' ? verdict !== 'no-face' : without < 0) return;
  const what = media === 'video' ? 'the frames of the video' : `image[${without}]`;
  throw new BallastError(
    'impossible',
    `No face was found in ${what}; send one in which a face is larger, or leave require=face out.`,
  );
}
