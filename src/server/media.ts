import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import { isAudio, isVideo } from '../deepfake/video-file.js';
import { BallastError } from '../errors.js';
import { bodyLimit, declaredLength, mediaTypeOf, readBody, tooLarge } from './body.js';
import type { ServerContext } from './context.js';
import type { Exchange } from './route.js';
import { tooManyFiles } from './too-many-files.js';
import { storeVideo, tooLargeVideo, type UploadedVideo } from './video-upload.js';

/** What came to be judged. */
export type Media =
  | { readonly kind: 'pictures'; readonly files: readonly Uint8Array[] }
  | { readonly kind: 'video'; readonly video: UploadedVideo };

/**
 * Reads pictures, or one video: a form of files `image`, or of one file `video`; JSON with `image` in base64; or a single
 * file as the body itself, told by its Content-Type.
 * @throws BallastError invalid-input where there is nothing, or both; too-large; unsupported-media-type; as readBody
 */
export async function readMedia(context: ServerContext, exchange: Exchange): Promise<Media> {
  const mediaType = mediaTypeOf(exchange.req);
  const encoding = exchange.req.headers['content-encoding'];
  if (mediaType.startsWith('image/')) {
    return { kind: 'pictures', files: [await readBody(context, exchange)] };
  }
  if (mediaType === 'application/json') {
    const body = await readBody(context, exchange);
    const { maxFiles } = context.config;
    const { image = [] } = await context.parsing.run({ kind: 'files', body, names: ['image'], maxFiles });
    const files = image.filter((bytes) => bytes !== null);
    if (files.length === 0) throw nothing();
    return { kind: 'pictures', files };
  }
  const isVideo = mediaType.startsWith('video/');
  if (!isVideo && mediaType !== 'multipart/form-data') {
    throw new BallastError(
      'unsupported-media-type',
      `${mediaType === '' ? 'The request has no Content-Type' : `The Content-Type "${mediaType.slice(0, 64)}" is none that this takes`}: send multipart/form-data with files as "image" or one as "video", JSON with base64, or a file as the body with its image/… or video/… type.`,
    );
  }
  if (encoding !== undefined && encoding !== 'identity') {
    throw new BallastError(
      'unsupported-media-type',
      'Pictures and videos are compressed already; send the form without a Content-Encoding.',
    );
  }
  expectVideo(context, exchange);
  if (isVideo) {
    return { kind: 'video', video: await storeVideo(context, exchange.req) };
  }
  return new MediaForm(context, exchange).read();
}

/** Lets a client that asks first send a video, which may be larger than any other body. */
function expectVideo({ config }: ServerContext, { req, res }: Exchange): void {
  const declared = declaredLength(req);
  if (declared === undefined) return;
  // Room for the form around it.
  if (declared > config.maxVideoMb * 1e6 + 65_536) throw tooLargeVideo(config.maxVideoMb);
  if (req.headers.expect !== undefined && declared > config.maxBodyMb * 1e6) res.writeContinue();
}

class MediaForm {
  private readonly pictures: Promise<Buffer>[] = [];
  private video: Promise<UploadedVideo> | undefined;
  private failure: BallastError | undefined;
  private held = 0;

  constructor(
    private readonly context: ServerContext,
    private readonly exchange: Exchange,
  ) {}

  async read(): Promise<Media> {
    const { req } = this.exchange;
    const parser = this.openParser();
    const parsed = new Promise<void>((resolve, reject) => {
      parser.on('finish', resolve).on('error', (error: Error) => {
        reject(new BallastError('invalid-input', `The multipart body is broken: ${error.message}.`));
      });
      const onGone = (): void => {
        if (req.complete) return;
        parser.destroy();
        reject(new BallastError('invalid-input', 'The client left in the middle of its request.'));
      };
      req.once('close', onGone).once('error', onGone);
    });
    req.pipe(parser);
    let video: UploadedVideo | undefined;
    try {
      await parsed;
      video = await this.video;
      if (this.failure) throw this.failure;
    } catch (error) {
      req.unpipe(parser);
      req.resume();
      const stored = await this.video?.catch(() => undefined);
      await stored?.dispose();
      throw this.failure ?? error;
    }
    if (video !== undefined) return { kind: 'video', video };
    if (this.pictures.length === 0) throw nothing();
    const files = await Promise.all(this.pictures);
    files.forEach(refuseOther);
    return { kind: 'pictures', files };
  }

  private openParser(): BusboyInstance {
    const { maxFiles } = this.context.config;
    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: { 'content-type': this.exchange.req.headers['content-type'] ?? '' },
        isPartAFile: (_name, partType, filename) => filename !== undefined || partType !== 'text/plain',
        limits: { files: maxFiles, parts: maxFiles + 1, fieldSize: 1024, headerPairs: 64 },
      });
    } catch {
      throw new BallastError(
        'invalid-input',
        'The Content-Type "multipart/form-data" names no boundary; let your HTTP client write that header.',
      );
    }
    parser.on('file', (name: string | undefined, stream: BusboyFileStream) => {
      if (this.failure) stream.resume();
      else if (name === 'video') this.takeVideo(stream);
      else if (name === 'image') this.takePicture(stream);
      else this.refuse(name, 'file', stream);
    });
    parser.on('field', (name: string | undefined) => {
      this.refuse(name, 'text field');
    });
    for (const limit of ['filesLimit', 'partsLimit']) {
      parser.on(limit, () => {
        this.failure ??= tooManyFiles(maxFiles);
      });
    }
    return parser;
  }

  private takeVideo(stream: BusboyFileStream): void {
    if (this.video !== undefined || this.pictures.length > 0) {
      this.failure = new BallastError(
        'invalid-input',
        'One video is judged a request, or pictures, not both; send each in a request of its own.',
      );
      stream.resume();
      return;
    }
    this.video = storeVideo(this.context, stream);
    this.video.catch((error: unknown) => {
      this.failure ??= error as BallastError;
      stream.resume();
    });
  }

  private takePicture(stream: BusboyFileStream): void {
    if (this.video !== undefined) {
      this.failure = new BallastError(
        'invalid-input',
        'A picture came beside a video; send each in a request of its own.',
      );
      stream.resume();
      return;
    }
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => {
      if (this.failure) return;
      this.held += chunk.length;
      if (this.held > bodyLimit(this.context)) {
        this.failure = tooLarge(this.context);
        return;
      }
      try {
        this.context.bodies.take(this.exchange, chunk.length);
        chunks.push(chunk);
      } catch (error) {
        this.failure = error as BallastError;
      }
    });
    this.pictures.push(
      new Promise((resolve) => {
        stream.on('end', () => {
          resolve(Buffer.concat(chunks));
        });
      }),
    );
    // Told by the parser as well.
    stream.on('error', () => undefined);
  }

  private refuse(name = '', what: string, stream?: BusboyFileStream): void {
    stream?.resume();
    this.failure ??= new BallastError(
      'invalid-input',
      `A ${what} came as ${JSON.stringify(name.slice(0, 64))}; pictures come as "image", a video as "video", and options in the query.`,
    );
  }
}

/** Says of a video or a recording that came as a picture where it belongs. */
function refuseOther(file: Uint8Array, i: number): void {
  const what = isVideo(file) ? 'a video' : isAudio(file) ? 'a recording' : undefined;
  if (what === undefined) return;
  throw new BallastError(
    'unsupported-media-type',
    `image[${i}] is ${what}, not a picture; send a video as the file "video" of a request of its own.`,
  );
}

function nothing(): BallastError {
  return new BallastError(
    'invalid-input',
    'No file came; send pictures as "image", or one video as "video".',
  );
}
