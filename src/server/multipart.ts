import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import { BallastError } from '../errors.js';
import type { EncodedInputs } from '../pipeline/serving.js';
import { eachChunk, readBody } from './body.js';
import type { ServerContext } from './context.js';
import type { Exchange } from './route.js';

const MAX_HEADER_BYTES = 16_384;

/**
 * Reads the files of a multipart/form-data body while it arrives.
 * @param names - the model's inputs; a part's name says which one it feeds
 * @returns the files by input, in the order in which they came
 * @throws BallastError invalid-input for a part that is no file of an input, or a body that is not multipart;
 *   too-large for too many files or bytes; queue-full as `readBody`
 */
export async function readMultipart(
  context: ServerContext,
  exchange: Exchange,
  names: readonly string[],
): Promise<EncodedInputs> {
  const { maxFiles } = context.config;
  const files = new Map<string, Uint8Array[]>(names.map((name) => [name, []]));
  let failure: BallastError | undefined;
  const fail = (error: BallastError): void => {
    failure ??= error;
  };
  const parser = openParser(exchange, maxFiles);
  parser.on('file', (name: string | undefined, stream: BusboyFileStream, filename?: string) => {
    const chunks: Buffer[] = [];
    const list = files.get(name ?? '');
    if (!list) fail(unknownPart(name, names, filename === undefined ? 'part' : 'file'));
    stream.on('data', (chunk: Buffer) => {
      if (list) chunks.push(chunk);
    });
    stream.on('end', () => list?.push(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
    stream.on('error', () => undefined);
  });
  parser.on('field', (name: string | undefined) => {
    fail(unknownPart(name, names, 'text field'));
  });
  const tooMany = (): void => {
    context.metrics.rejected('too-large');
    fail(
      new BallastError(
        'too-large',
        `The request has more than ${maxFiles} files, which is the most that this server takes (--max-files). Send them in several requests.`,
      ),
    );
  };
  parser.on('filesLimit', tooMany).on('partsLimit', tooMany);
  const parsed = new Promise<void>((resolve, reject) => {
    parser.on('finish', resolve);
    parser.on('error', (error: Error) => {
      reject(new BallastError('invalid-input', `The multipart body is broken: ${error.message}.`));
    });
  });
  // It may be rejected while chunks still arrive, before anyone awaits it.
  parsed.catch(fail);
  const write = (chunk: Buffer): void => {
    parser.write(chunk);
    if (failure) throw failure;
  };
  if (exchange.req.headers['content-encoding'] === undefined) await eachChunk(context, exchange, write);
  else write(await readBody(context, exchange));
  parser.end();
  await parsed;
  // A failure that the body's last chunk brought is set in the meantime.
  if (failure) throw failure;
  return Object.fromEntries(files);
}

function openParser(exchange: Exchange, maxFiles: number): BusboyInstance {
  try {
    return new Busboy({
      headers: { 'content-type': exchange.req.headers['content-type'] ?? '' },
      // A part with a media type of its own is a file, whether or not its sender gave it a file's name.
      isPartAFile: (_name, contentType, filename) => filename !== undefined || contentType !== 'text/plain',
      limits: {
        files: maxFiles,
        parts: maxFiles + 1,
        fieldSize: 1024,
        headerPairs: 64,
        headerSize: MAX_HEADER_BYTES,
      },
    });
  } catch {
    throw new BallastError(
      'invalid-input',
      'The Content-Type "multipart/form-data" names no boundary; let your HTTP client write that header.',
    );
  }
}

function unknownPart(name: string | undefined, names: readonly string[], what: string): BallastError {
  const known = names.map((input) => `"${input}"`).join(', ');
  return new BallastError(
    'invalid-input',
    `A ${what} came as ${JSON.stringify((name ?? '').slice(0, 64))}; this model takes files as ${known}. Options such as stream and lame go into the query.`,
  );
}
