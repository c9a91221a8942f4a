import type { EncodedInputs } from '../pipeline/serving.js';
import { declaredLength, eachChunk, readBody } from './body.js';
import type { ServerContext } from './context.js';
import { readPlainMultipart } from './plain-multipart.js';
import type { Exchange } from './route.js';
import { readStreamedMultipart } from './streamed-multipart.js';

// Above this a search for the boundary in one go could hold the event loop.
const IN_MEMORY_BYTES = 1_000_000;

/**
 * Reads the files of a multipart/form-data body.
 * @param names - the model's inputs; a part's name says which one it feeds
 * @returns the files by input, in the order in which they came
 * @throws BallastError as `readStreamedMultipart` and `readBody`
 */
export async function readMultipart(
  context: ServerContext,
  exchange: Exchange,
  names: readonly string[],
): Promise<EncodedInputs> {
  const { headers } = exchange.req;
  const contentType = headers['content-type'] ?? '';
  const rules = { names, maxFiles: context.config.maxFiles };
  const length = declaredLength(exchange.req);
  if (headers['content-encoding'] === undefined && (length === undefined || length > IN_MEMORY_BYTES)) {
    return readStreamedMultipart(contentType, rules, (write) => eachChunk(context, exchange, write));
  }
  const body = await readBody(context, exchange);
  const plain = body.byteLength <= IN_MEMORY_BYTES && readPlainMultipart(body, contentType, rules);
  if (plain) return plain;
  return readStreamedMultipart(contentType, rules, (write) => {
    write(body);
    return Promise.resolve();
  });
}
