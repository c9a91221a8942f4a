import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { fromBuffer, type Entry, type Options, type ZipFile } from 'yauzl';
import { BallastError, messageOf } from '../errors.js';
import type { LabelledPicture } from '../pipeline/serving.js';

/** All pictures of a zip may unpack to so many bytes. */
const MOST_BYTES = 2e9;

const openZip = promisify<Buffer, Options, ZipFile>(fromBuffer);

/**
 * Reads the pictures of a zip with a folder for each class; what lies around these folders is of no matter.
 * @param mostPictures - that it may have
 * @returns in the order of their names
 * @throws BallastError invalid-input where it is no sound zip, has no such folder, or unpacks to more than it says;
 *   too-large
 */
export async function picturesOfZip(bytes: Buffer, mostPictures: number): Promise<LabelledPicture[]> {
  const pictures: LabelledPicture[] = [];
  try {
    const zip = await openZip(bytes, { lazyEntries: true });
    let unpacked = 0;
    for await (const entry of entriesOf(zip)) {
      const label = classOf(entry.fileName);
      if (label === undefined) continue;
      unpacked += entry.uncompressedSize;
      if (pictures.length === mostPictures || unpacked > MOST_BYTES) {
        throw new BallastError(
          'too-large',
          `The zip has more than ${mostPictures} pictures, or more than ${MOST_BYTES / 1e9} GB of them; a few a class are enough.`,
        );
      }
      pictures.push({ name: entry.fileName, bytes: await contentOf(zip, entry), label });
    }
  } catch (error) {
    if (error instanceof BallastError) throw error;
    throw new BallastError('invalid-input', `The zip cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  if (pictures.length > 0) return pictures.sort((one, other) => (one.name < other.name ? -1 : 1));
  throw new BallastError(
    'invalid-input',
    'The zip has no pictures in folders; it must have a folder for each class, named after it, with pictures in it.',
  );
}

/** The folder that a file is in; undefined for folders, hidden files and what archivers add. */
function classOf(path: string): string | undefined {
  const parts = path.split('/');
  const hidden = parts.some((part) => part.startsWith('.') || part === '__MACOSX');
  return path.endsWith('/') || hidden ? undefined : parts.at(-2);
}

async function* entriesOf(zip: ZipFile): AsyncGenerator<Entry> {
  for (;;) {
    const entry = await new Promise<Entry | undefined>((resolve, reject) => {
      zip.once('entry', resolve).once('end', () => {
        resolve(undefined);
      });
      zip.once('error', reject);
      zip.readEntry();
    });
    zip.removeAllListeners();
    if (entry === undefined) return;
    yield entry;
  }
}

/** Its stream fails where the content is not as long as the entry says, so that no bomb gets through. */
async function contentOf(zip: ZipFile, entry: Entry): Promise<Uint8Array> {
  const stream = await promisify<Entry, NodeJS.ReadableStream>((one, done) => {
    zip.openReadStream(one, done as Parameters<typeof zip.openReadStream>[1]);
  })(entry);
  return buffer(stream);
}
