import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BallastError, messageOf } from '../errors.js';

/** A picture on disk, and its class. */
export interface LabelledFile {
  readonly path: string;
  readonly label: number;
}

/**
 * Lists the pictures of a folder with one folder a class, in the order of their names.
 * @param labels - the classes' names
 * @throws BallastError invalid-input where the folder cannot be read, has no pictures, or a folder is no class
 */
export async function readLabelledFolder(folder: string, labels: readonly string[]): Promise<LabelledFile[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new BallastError('invalid-input', `${folder} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  });
  const files: LabelledFile[] = [];
  for (const { name } of entries.filter((entry) => entry.isDirectory()).toSorted(byName)) {
    const label = labels.indexOf(name);
    if (label < 0) {
      throw new BallastError(
        'invalid-input',
        `${join(folder, name)} is named after no class of the model; its classes are ${labels.slice(0, 20).join(', ')}.`,
      );
    }
    const names = (await readdir(join(folder, name))).filter((file) => !file.startsWith('.')).toSorted();
    files.push(...names.map((file) => ({ path: join(folder, name, file), label })));
  }
  if (files.length > 0) return files;
  throw new BallastError(
    'invalid-input',
    `${folder} has no pictures; it must have a folder for each class, named after it, with pictures in it.`,
  );
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
