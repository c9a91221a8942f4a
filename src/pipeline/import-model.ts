import { access, copyFile, mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BallastError, messageOf } from '../errors.js';
import { inspectModel, type ModelInspection } from '../runtime/onnx/inspect.js';
import { readModel } from '../runtime/onnx/read-model.js';
import { guessImage } from './import-input.js';
import { modelYaml, shapeOf, summaryOf } from './import-yaml.js';

/** What to import and where to. */
export interface ImportOptions {
  /** The ONNX file. */
  readonly file: string;
  /** Folder of models; the model gets a folder of its own in it. */
  readonly modelsDir: string;
  /** The model's name; made from the file's where left out. */
  readonly name?: string | undefined;
  /** A file with a label a line, in the order of the classes. */
  readonly labels?: string | undefined;
  /** Overwrites the files of a model that is there already. */
  readonly force?: boolean | undefined;
}

/** What was imported. */
export interface ImportedFiles {
  readonly name: string;
  /** The model's folder. */
  readonly directory: string;
  /** What was written there, model.yaml last. */
  readonly files: readonly string[];
  readonly inspection: ModelInspection;
  /** What was found, what was guessed and what to do next, in lines for a terminal. */
  readonly summary: string;
}

/**
 * Makes a folder of the model repository from an ONNX file: copies it with its external data and labels, and writes
 * model.yaml from what is found in it.
 * @throws BallastError invalid-model where the file or its external data cannot be read or is no ONNX model;
 *   invalid-input where the name or the labels do not fit, or a model is there already and `force` is not set
 */
export async function importModel(options: ImportOptions): Promise<ImportedFiles> {
  const file = resolve(options.file);
  const name = checkedName(options.name ?? nameOf(file));
  const inspection = inspectModel(await readModel(file));
  if (inspection.inputs.length === 0) {
    throw new BallastError(
      'invalid-model',
      'The ONNX model has no inputs that can be served: it takes no tensors.',
    );
  }
  if (options.labels !== undefined) await checkLabels(options.labels, inspection.classes);

  const directory = join(options.modelsDir, name);
  const labels = options.labels === undefined ? {} : { labels: 'labels.txt' };
  const copies = new Map(inspection.externalData.map((path) => [path, join(dirname(file), path)]));
  copies.set(basename(file), file);
  if (options.labels !== undefined) copies.set('labels.txt', resolve(options.labels));
  await checkSources(copies.values());
  if (options.force !== true) await checkFree(directory, copies);

  for (const [target, source] of copies)
    await place(join(directory, target), (path) => copyFile(source, path), source);
  const yaml = modelYaml({ name, file: basename(file), ...labels, inspection });
  // Last, since a folder without model.yaml is no model yet.
  await place(join(directory, 'model.yaml'), (path) => writeFile(path, yaml));
  const files = [...copies.keys(), 'model.yaml'];
  return {
    name,
    directory,
    files,
    inspection,
    summary: summarise(options, { name, directory, files, inspection }),
  };
}

function checkedName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return name;
  throw new BallastError(
    'invalid-input',
    `"${name}" cannot be the name of a model: use letters, digits, ".", "_" and "-", and begin with a letter or digit.`,
  );
}

/** A name from the file's; many exports are all called model.onnx, and then the folder says which model it is. */
function nameOf(file: string): string {
  const stem = basename(file).replace(/\.onnx$/i, '');
  const parent = basename(dirname(file));
  const own = stem.toLowerCase() === 'model' && parent !== '' ? parent : stem;
  return own.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '') || 'model';
}

async function checkLabels(path: string, classes: number | undefined): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BallastError('invalid-input', `The labels cannot be read: ${messageOf(error)}.`, {
      cause: error,
    });
  });
  const count = text.replace(/\s+$/, '').split('\n').length;
  if (classes !== undefined && count !== classes) {
    throw new BallastError(
      'invalid-input',
      `${path} has ${count} labels, and the model answers ${classes} classes.`,
    );
  }
}

async function checkSources(sources: Iterable<string>): Promise<void> {
  for (const source of sources) {
    await access(source).catch((error: unknown) => {
      throw new BallastError(
        'invalid-model',
        `The model keeps weights in ${source}, which cannot be read: ${messageOf(error)}. Put it beside the ONNX file.`,
        { cause: error },
      );
    });
  }
}

async function checkFree(directory: string, copies: ReadonlyMap<string, string>): Promise<void> {
  for (const target of [...copies.keys(), 'model.yaml']) {
    const path = join(directory, target);
    const there = await realpath(path).catch(() => undefined);
    const source = copies.get(target);
    // A file that is in its place already is not overwritten.
    if (there === undefined || (source !== undefined && there === (await realpath(source)))) continue;
    throw new BallastError(
      'invalid-input',
      `${path} exists already. Choose another name with --name, or overwrite it with --force.`,
    );
  }
}

/** Writes a file under another name first: a server may have the old one mapped, and must not see half of the new. */
async function place(path: string, write: (path: string) => Promise<void>, source?: string): Promise<void> {
  if (source !== undefined && (await realpath(path).catch(() => undefined)) === (await realpath(source)))
    return;
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.partial`;
  try {
    await write(partial);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function summarise(
  { file, modelsDir }: ImportOptions,
  { name, directory, files, inspection }: Omit<ImportedFiles, 'summary'>,
): string {
  const { inputs, logits, features, classes, warnings } = inspection;
  const image = guessImage(inspection);
  const classifier = image !== undefined && logits !== undefined;
  const notes = [...warnings];
  if (classifier) {
    notes.unshift(
      `mean and std in model.yaml are those of ${image.statistics}, a guess: check what the model was trained with.`,
    );
  }
  return [
    `Imported ${file} as "${name}"`,
    `  model     ${summaryOf(inspection)}`,
    ...inputs.map(({ name: input, type, dims }) => `  input     ${input}: ${type} ${shapeOf(dims)}`),
    ...(logits === undefined
      ? []
      : [`  logits    ${logits}${classes === undefined ? '' : `, ${classes} classes`}`]),
    ...(features ? [`  features  ${features.name} ${shapeOf(features.dims)}`] : []),
    `  task      ${classifier ? 'classification' : 'raw'}`,
    `  written   ${files.map((written) => join(directory, written)).join(', ')}`,
    ...notes.map((note) => `Note: ${note}`),
    `Next: ballast serve --models ${modelsDir}`,
  ].join('\n');
}
