import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { open, type Entry, type Options, type ZipFile } from 'yauzl';
import { BallastError, messageOf } from '../errors.js';

/** A zip of which single files are read when they are wanted. */
export interface ZipPictures {
  /** The files, in the order of their names: hidden ones and what archivers add are left out. */
  readonly names: readonly string[];
  /** @throws BallastError invalid-input where the file is damaged, or longer than the zip says */
  read(name: string): Promise<Uint8Array>;
  close(): void;
}

const openZip = promisify<string, Options, ZipFile>(open);

/**
 * Opens a zip, whatever its size: its directory is read, its files stay where they are.
 * @throws BallastError invalid-input where it cannot be read or is no zip
 */
export async function openZipPictures(path: string): Promise<ZipPictures> {
  const refuse = (error: unknown): BallastError =>
    new BallastError('invalid-input', `${path} cannot be read as a zip: ${messageOf(error)}.`, {
      cause: error,
    });
  const zip = await openZip(path, { autoClose: false, lazyEntries: false }).catch((error: unknown) => {
    throw refuse(error);
  });
  const entries = new Map<string, Entry>();
  await new Promise<void>((resolve, reject) => {
    zip.on('entry', (entry: Entry) => {
      if (!isHidden(entry.fileName)) entries.set(entry.fileName, entry);
    });
    zip.once('end', resolve).once('error', (error) => {
      reject(refuse(error));
    });
  });
  return {
    names: [...entries.keys()].sort(),
    read: async (name) => {
      try {
        const entry = entries.get(name);
        if (entry === undefined) throw new Error('the zip has no such file');
        const stream = await promisify<Entry, NodeJS.ReadableStream>((one, done) => {
          zip.openReadStream(one, done as Parameters<typeof zip.openReadStream>[1]);
        })(entry);
        return await buffer(stream);
      } catch (error) {
        throw new BallastError('invalid-input', `${name} in ${path} cannot be read: ${messageOf(error)}.`, {
          cause: error,
        });
      }
    },
    close: () => {
      zip.close();
    },
  };
}

function isHidden(path: string): boolean {
  return path.endsWith('/') || path.split('/').some((part) => part.startsWith('.') || part === '__MACOSX');
}
