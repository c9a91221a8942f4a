import type { IncomingMessage } from 'node:http';
import { BallastError } from '../errors.js';
import type { ServerContext } from './context.js';
import { decompress } from './decompress.js';
import type { Exchange } from './route.js';

// Above this a body gets memory of its own at once, instead of growing out of the socket's chunks.
const ONE_PIECE_BYTES = 65_536;

/** The media type of a request's body, in lower case and without parameters; empty where it has none. */
export function mediaTypeOf(req: IncomingMessage): string {
  const header = req.headers['content-type'];
  if (header === undefined) return '';
  const semicolon = header.indexOf(';');
  return (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase();
}

/** The bytes that a request may have. */
export function bodyLimit(context: ServerContext): number {
  return Math.floor(context.config.maxBodyMb * 1e6);
}

/** The length that a request declares; undefined where it declares none. */
export function declaredLength(req: IncomingMessage): number | undefined {
  const header = req.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

/** What is thrown where a body passes the limit. */
export function tooLarge(context: ServerContext): BallastError {
  return new BallastError(
    'too-large',
    `The body has more than ${context.config.maxBodyMb} MB, which is the most that this server takes (--max-body-mb).`,
  );
}

/**
 * Reads a whole body, decompressed.
 * @throws BallastError too-large by its declared length before a byte is read, or as soon as it passes the limit;
 *   queue-full where all bodies together pass theirs; unsupported-media-type for an unknown Content-Encoding
 */
export async function readBody(context: ServerContext, exchange: Exchange): Promise<Buffer> {
  const { req } = exchange;
  const length = declaredLength(req) ?? 0;
  let body: Buffer;
  if (length > ONE_PIECE_BYTES && length <= bodyLimit(context)) {
    body = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    await eachChunk(context, exchange, (chunk) => {
      filled += chunk.copy(body, filled);
    });
  } else {
    const chunks: Buffer[] = [];
    await eachChunk(context, exchange, (chunk) => chunks.push(chunk));
    body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  }
  const encoding = req.headers['content-encoding'];
  if (encoding === undefined) return body;
  const plain = await decompress(body, encoding, bodyLimit(context));
  if (plain === undefined) throw tooLarge(context);
  context.bodies.take(exchange, plain.byteLength);
  return plain;
}

/**
 * Hands out a body's chunks as they come.
 * @param take - called for each; what it throws ends the reading
 * @returns when the body has ended
 * @throws BallastError too-large, queue-full as `readBody`; invalid-input where the client leaves halfway
 */
export async function eachChunk(
  context: ServerContext,
  exchange: Exchange,
  take: (chunk: Buffer) => unknown,
): Promise<void> {
  const { req } = exchange;
  const limit = bodyLimit(context);
  const declared = declaredLength(req);
  if (declared !== undefined) {
    if (declared > limit) throw tooLarge(context);
    context.bodies.take(exchange, declared);
  }
  return new Promise((resolve, reject) => {
    let size = 0;
    const onData = (chunk: Buffer): void => {
      try {
        size += chunk.length;
        if (size > limit) throw tooLarge(context);
        if (declared === undefined) context.bodies.take(exchange, chunk.length);
        take(chunk);
      } catch (error) {
        stop(error as Error);
      }
    };
    const onEnd = (): void => {
      req.off('error', onGone).off('close', onGone);
      resolve();
    };
    const onGone = (): void => {
      stop(new BallastError('invalid-input', 'The client left in the middle of its request.'));
    };
    const stop = (error: Error): void => {
      req.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      // What still comes is read and forgotten, so that the client can finish and see its answer.
      req.on('error', () => undefined).resume();
      reject(error);
    };
    req.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });
}
