import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { BallastError } from '../errors.js';
import type { LabelledPicture } from '../pipeline/serving.js';
import { mediaTypeOf, readBody } from './body.js';
import type { ServerContext } from './context.js';
import type { Exchange } from './route.js';
import { picturesOfZip } from './zip-of-classes.js';

/** Pictures that one job may have. */
const MOST_PICTURES = 10_000;
const ZIP_TYPES = new Set(['application/zip', 'application/x-zip-compressed']);

/**
 * Reads labelled pictures: a zip with a folder for each class, as the body itself or as a file of a form; or a form of
 * files `image`, in order, with as many text fields `label`.
 * @throws BallastError invalid-input where they are not labelled one by one; unsupported-media-type; as readBody
 */
export async function readShots(context: ServerContext, exchange: Exchange): Promise<LabelledPicture[]> {
  const mediaType = mediaTypeOf(exchange.req);
  if (ZIP_TYPES.has(mediaType)) return picturesOfZip(await readBody(context, exchange), MOST_PICTURES);
  if (mediaType === 'multipart/form-data') {
    const { files, labels } = await readForm(await readBody(context, exchange), exchange);
    return picturesOfForm(files, labels);
  }
  throw new BallastError(
    'unsupported-media-type',
    'Send application/zip with a folder of pictures for each class, or multipart/form-data with files as "image" and a text field "label" for each, in the same order.',
  );
}

interface FormFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

async function picturesOfForm(
  files: readonly FormFile[],
  labels: readonly string[],
): Promise<LabelledPicture[]> {
  const [first] = files;
  if (files.length === 1 && labels.length === 0 && isZip(first.bytes)) {
    return picturesOfZip(Buffer.from(first.bytes), MOST_PICTURES);
  }
  if (files.length === 0) {
    throw new BallastError(
      'invalid-input',
      'No picture came; send files as "image", and a "label" for each.',
    );
  }
  if (files.length !== labels.length) {
    throw new BallastError(
      'invalid-input',
      `${files.length} pictures came, and ${labels.length} labels; send one text field "label" for each "image", in the same order.`,
    );
  }
  return files.map(({ name, bytes }, i) => ({ name, bytes, label: labels[i] }));
}

/** The first bytes of every zip that has a file in it. */
function isZip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

function readForm(body: Buffer, { req }: Exchange): Promise<{ files: FormFile[]; labels: string[] }> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void => {
      reject(new BallastError('invalid-input', why));
    };
    let parser: BusboyInstance;
    try {
      const limits = { files: MOST_PICTURES, fields: MOST_PICTURES, fieldSize: 1024, headerPairs: 64 };
      parser = new Busboy({ headers: { 'content-type': req.headers['content-type'] ?? '' }, limits });
    } catch {
      refuse(
        'The Content-Type "multipart/form-data" names no boundary; let your HTTP client write that header.',
      );
      return;
    }
    const files: FormFile[] = [];
    const labels: string[] = [];
    parser.on('file', (field: string, stream: BusboyFileStream, filename: string) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        if (field === 'image' || field === 'images') {
          const name = `image[${files.length}] (${basename(filename).slice(0, 64)})`;
          files.push({ name, bytes: Buffer.concat(chunks) });
        } else
          refuse(
            `A file came as ${JSON.stringify(field.slice(0, 64))}; pictures, or a zip, come as "image".`,
          );
      });
      stream.on('error', () => undefined);
    });
    parser.on('field', (field: string, value: string) => {
      if (field === 'label' || field === 'labels') labels.push(value.trim());
      else
        refuse(
          `A text field came as ${JSON.stringify(field.slice(0, 64))}; only "label" is one. Options go into the query.`,
        );
    });
    for (const limit of ['filesLimit', 'fieldsLimit']) {
      parser.on(limit, () => {
        reject(
          new BallastError(
            'too-large',
            `A job takes ${MOST_PICTURES} pictures at most; a few a class are enough.`,
          ),
        );
      });
    }
    parser.on('error', (error: Error) => {
      refuse(`The multipart body is broken: ${error.message}.`);
    });
    parser.on('finish', () => {
      resolve({ files, labels });
    });
    Readable.from([body]).pipe(parser);
  });
}
