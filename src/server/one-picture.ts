import { BallastError } from '../errors.js';
import { mediaTypeOf, readBody } from './body.js';
import type { ServerContext } from './context.js';
import { readMultipart } from './multipart.js';
import type { Exchange } from './route.js';

/**
 * Reads the one picture of a request: the body itself, or the file `image` of a form.
 * @throws BallastError invalid-input where it is not one; unsupported-media-type; as readBody
 */
export async function onePicture(context: ServerContext, exchange: Exchange): Promise<Uint8Array> {
  const mediaType = mediaTypeOf(exchange.req);
  if (mediaType.startsWith('image/')) return readBody(context, exchange);
  if (mediaType !== 'multipart/form-data') {
    throw new BallastError(
      'unsupported-media-type',
      'Send one picture: as the body itself, with its image/… Content-Type, or as the file "image" of multipart/form-data.',
    );
  }
  const { image = [] } = await readMultipart(context, exchange, ['image']);
  const [picture] = image;
  if (image.length === 1 && picture) return picture;
  throw new BallastError('invalid-input', `${image.length} pictures came; send one.`);
}
