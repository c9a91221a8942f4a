import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { BallastError } from '../errors.js';

const decoders = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/**
 * Undoes a Content-Encoding, off the main thread.
 * @param body - as it came
 * @param contentEncoding - the header's value
 * @param limit - bytes that may come out
 * @returns the plain body; undefined where it passes the limit
 * @throws BallastError unsupported-media-type for an encoding that is unknown; invalid-input where the body is not
 *   what the header says
 */
export async function decompress(
  body: Buffer,
  contentEncoding: string,
  limit: number,
): Promise<Buffer | undefined> {
  const encoding = contentEncoding.trim().toLowerCase();
  if (encoding === 'identity') return body;
  if (!Object.hasOwn(decoders, encoding)) {
    throw new BallastError(
      'unsupported-media-type',
      `The Content-Encoding "${encoding.slice(0, 64)}" is unknown; this server takes ${Object.keys(decoders).join(', ')}.`,
    );
  }
  try {
    return await decoders[encoding as keyof typeof decoders](body, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw new BallastError('invalid-input', `The body is not ${encoding}, as its Content-Encoding says.`, {
      cause: error,
    });
  }
}
