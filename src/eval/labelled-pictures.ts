import { readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { BallastError, messageOf } from '../errors.js';
import { readLabelledFolder } from '../pipeline/labelled-folder.js';
import { closestNames } from '../runtime/onnx/closest-names.js';
import { SeededRandom } from '../runtime/seeded-random.js';
import { parseLabels } from './labels-csv.js';
import { openZipPictures } from './zip-pictures.js';

/** A picture that is read when it is wanted. */
export interface LabelledEntry {
  /** Path inside the folder or zip. */
  readonly name: string;
  /** Index of its class. */
  readonly label: number;
}

/** A folder or zip of labelled pictures. */
export interface LabelledPictures {
  /** In the order of their names. */
  readonly entries: readonly LabelledEntry[];
  /** @throws BallastError invalid-input where the file cannot be read */
  read(entry: LabelledEntry): Promise<Uint8Array>;
  close(): void;
}

/**
 * Opens labelled pictures: a folder or zip with a folder for each class, or any with a CSV of labels.
 * @param path - of the folder or zip
 * @param classes - the model's labels
 * @param labelsFile - CSV with lines file,label; the files are paths inside the folder or zip
 * @throws BallastError invalid-input where there is none, or a class is none of the model's
 */
export async function openLabelledPictures(
  path: string,
  classes: readonly string[],
  labelsFile?: string,
): Promise<LabelledPictures> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      throw new BallastError('invalid-input', `${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    },
  );
  const listed = labelsFile === undefined ? undefined : await readLabels(labelsFile, classes);
  return isFolder ? openFolder(path, classes, listed) : openZip(path, classes, listed);
}

/**
 * Chooses samples, of all classes alike as far as they go.
 * @param count - how many at most
 * @returns in the order of `entries`
 */
export function chooseEntries(
  entries: readonly LabelledEntry[],
  count: number,
  seed: number,
): LabelledEntry[] {
  const taken = new Map<number, number>();
  const shuffled = Array.from(new SeededRandom(seed).permutation(entries.length));
  // The first of every class come before the second of any.
  const ranks = new Map(
    shuffled.map((place) => {
      const { label } = entries[place];
      const rank = taken.get(label) ?? 0;
      taken.set(label, rank + 1);
      return [place, rank] as const;
    }),
  );
  return shuffled
    .sort((a, b) => ranks.get(a)! - ranks.get(b)!)
    .slice(0, count)
    .sort((a, b) => a - b)
    .map((place) => entries[place]);
}

async function openFolder(
  path: string,
  classes: readonly string[],
  listed: readonly LabelledEntry[] | undefined,
): Promise<LabelledPictures> {
  const entries =
    listed ??
    (await readLabelledFolder(path, classes)).map(({ path: file, label }) => ({
      name: relative(path, file),
      label,
    }));
  return {
    entries,
    read: async ({ name }) => {
      try {
        return await readFile(join(path, name));
      } catch (error) {
        throw new BallastError('invalid-input', `${name} cannot be read: ${messageOf(error)}`, {
          cause: error,
        });
      }
    },
    close: () => undefined,
  };
}

async function openZip(
  path: string,
  classes: readonly string[],
  listed: readonly LabelledEntry[] | undefined,
): Promise<LabelledPictures> {
  const zip = await openZipPictures(path);
  try {
    const entries = listed ?? labelledByFolder(zip.names, path, classes);
    return {
      entries,
      read: ({ name }) => zip.read(name),
      close: () => {
        zip.close();
      },
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

function labelledByFolder(
  names: readonly string[],
  path: string,
  classes: readonly string[],
): LabelledEntry[] {
  const entries = names.flatMap((name) => {
    const folder = name.split('/').at(-2);
    return folder === undefined
      ? []
      : [{ name, label: labelOf(folder, `The folder of ${name} in ${path}`, classes) }];
  });
  if (entries.length > 0) return entries;
  throw new BallastError(
    'invalid-input',
    `${path} has no pictures in folders; it must have a folder for each class, named after it, with pictures in it.`,
  );
}

async function readLabels(file: string, classes: readonly string[]): Promise<LabelledEntry[]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new BallastError('invalid-input', `${file} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  return parseLabels(text, file).map((line) => ({
    name: line.file,
    label: labelOf(line.label, `The label of ${line.file} in ${file}`, classes),
  }));
}

function labelOf(name: string, where: string, classes: readonly string[]): number {
  const label = classes.indexOf(name);
  if (label >= 0) return label;
  const near = closestNames(name, classes, 1).at(0);
  const known = `${classes.slice(0, 20).join(', ')}${classes.length > 20 ? `, … (${classes.length} in all)` : ''}`;
  throw new BallastError(
    'invalid-input',
    `${where} is "${name}", which is no class of the model${near === undefined ? '' : `; did you mean "${near}"?`} Its classes are ${known}.`,
  );
}
