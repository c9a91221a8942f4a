import { readFile } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { isNode, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { BallastError, messageOf } from '../errors.js';
import { closestNames } from '../runtime/onnx/closest-names.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';
import {
  batchingSchema,
  calibrationSchema,
  classifierSchema,
  imageInputSchema,
  lameSchema,
  modelConfigSchema,
  modulationSchema,
  monitorSchema,
  promptSchema,
  robustSchema,
  tensorInputSchema,
  type ModelConfig,
} from './model-config.js';
import { facesSchema, verdictSchema } from './deepfake-config.js';
import { smoothingFields } from './smoothing-config.js';

/** The files that model.yaml names, beside the labels. */
export interface ModelFiles {
  /** Undefined where the classifier is remote. */
  readonly classifier?: string;
  readonly robust?: string;
  readonly mixing?: string;
  /** The classifier that votes under noise, for a certificate. */
  readonly voter?: string;
  /** The encoder that prompts are drawn from. */
  readonly coordinator?: string;
  /** The scales and shifts for what arrives alone. */
  readonly modulation?: string;
  /** The face detector in front of a deepfake model. */
  readonly faces?: string;
  /** What drift of the features is measured from. */
  readonly reference?: string;
}

/** A model folder, read and found sound. */
export interface ModelDefinition {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  readonly config: ModelConfig;
  /** Absolute paths of what model.yaml names. */
  readonly files: ModelFiles;
  /** As model.yaml gives them; undefined where it names none. */
  readonly labels: readonly string[] | undefined;
}

/**
 * Reads `model.yaml` of a folder.
 * @param folder - where model.yaml and what it names are
 * @param name - the name that the folder stands for
 * @param version - the version that the folder stands for
 * @throws BallastError invalid-model with file, line, key, what was found and what is allowed
 */
export async function readModelFile(folder: string, name: string, version: string): Promise<ModelDefinition> {
  const path = join(folder, 'model.yaml');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new BallastError('invalid-model', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const config = parseModelFile(text, path);
  if (config.name !== name) {
    throw new BallastError(
      'invalid-model',
      `${path}: name: found "${config.name}"; it must be the name of its folder, "${name}".`,
    );
  }
  const files = filesOf(config, (named, key) => inside(folder, named, path, key));
  return { name, version, folder, config, files, labels: await readLabels(folder, config, path) };
}

/**
 * Checks the text of a model.yaml.
 * @param path - named in errors
 * @throws BallastError invalid-model: every mistake on a line of its own
 */
export function parseModelFile(text: string, path: string): ModelConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const syntax = document.errors.at(0);
  if (syntax !== undefined) {
    const line = lines.linePos(syntax.pos[0]).line;
    throw new BallastError('invalid-model', `${path}:${line}: ${syntax.message.split('\n')[0]}`);
  }
  const content: unknown = document.toJS();
  const parsed = modelConfigSchema.safeParse(content, TELLING);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map((issue) => describeIssue(issue, document, lines, path));
  throw new BallastError('invalid-model', mistakes.join('\n'));
}

function describeIssue(
  issue: z.core.$ZodIssue,
  document: Document,
  lines: LineCounter,
  path: string,
): string {
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const keys = [...issue.path.map(String), ...(unknown === undefined ? [] : [unknown])];
  const where = `${path}:${lineOf(keys, document, lines)}: ${keys.join('.') || 'the whole file'}`;
  if (unknown !== undefined) return `${where}: there is no such key${suggestion(unknown)}.`;
  return `${where}: ${foundAndRight(issue)}.`;
}

/** The line of the innermost of `keys` that the file has. */
function lineOf(keys: readonly string[], document: Document, lines: LineCounter): number {
  for (let depth = keys.length; depth > 0; depth--) {
    const path = keys.slice(0, depth).map((key) => (/^\d+$/.test(key) ? Number(key) : key));
    const node = document.getIn(path, true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

const KNOWN_KEYS = [
  modelConfigSchema,
  classifierSchema,
  imageInputSchema,
  tensorInputSchema,
  lameSchema,
  batchingSchema,
  calibrationSchema,
  robustSchema,
  modulationSchema,
  monitorSchema,
  promptSchema,
  facesSchema,
  verdictSchema,
  smoothingFields,
].flatMap(({ shape }) => Object.keys(shape));

function suggestion(unknown: string): string {
  const key = closestNames(unknown, KNOWN_KEYS, 1).at(0);
  return key === undefined ? '' : `; did you mean "${key}"?`;
}

function filesOf(
  { classifier, robust, smoothing, prompt, modulation, faces, monitor }: ModelConfig,
  find: (named: string, key: string) => string,
): ModelFiles {
  const certificate = smoothing?.certificate;
  const voter =
    certificate !== undefined && certificate !== 'none' && certificate.kind === 'randomized-smoothing'
      ? certificate.base
      : undefined;
  return {
    ...(classifier.file !== undefined && { classifier: find(classifier.file, 'classifier.file') }),
    ...(robust && { robust: find(robust.file, 'robust.file') }),
    ...(smoothing?.mixing !== undefined && { mixing: find(smoothing.mixing, 'smoothing.mixing') }),
    ...(voter !== undefined && { voter: find(voter, 'smoothing.certificate.base') }),
    ...(modulation && { modulation: find(modulation.sets, 'modulation.sets') }),
    ...(prompt && { coordinator: find(prompt.coordinator, 'prompt.coordinator') }),
    ...(faces && { faces: find(faces.detector, 'faces.detector') }),
    ...(monitor && { reference: find(monitor.reference, 'monitor.reference') }),
  };
}

async function readLabels(
  folder: string,
  { labels }: ModelConfig,
  path: string,
): Promise<readonly string[] | undefined> {
  if (labels === undefined || Array.isArray(labels)) return labels;
  const file = inside(folder, labels, path, 'labels');
  try {
    const text = await readFile(file, 'utf8');
    return text
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '');
  } catch (error) {
    throw new BallastError(
      'invalid-model',
      `${path}: labels: ${basename(file)} cannot be read: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** A path that model.yaml names, which must stay inside the model's folder. */
function inside(folder: string, named: string, path: string, key: string): string {
  const full = resolve(folder, named);
  const way = relative(resolve(folder), full);
  if (way === '..' || way.startsWith(`..${sep}`) || way === '') {
    throw new BallastError(
      'invalid-model',
      `${path}: ${key}: found "${named}"; it must be a file inside the model's folder.`,
    );
  }
  return full;
}
