import { BallastError, messageOf } from '../../errors.js';
import { tooManyFiles } from '../too-many-files.js';
import type { EncodedInputs } from '../../pipeline/serving.js';

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;
const DATA_URL = /^data:[^,]{0,256},/;

/**
 * Reads files out of JSON: `{ "image": "<base64>" }`, or a list of them for several, with null for one that did not
 * arrive; data: URLs are taken too.
 * @param body - JSON
 * @param names - the model's inputs
 * @param maxFiles - over all inputs
 * @returns the files by input, each in memory of its own
 * @throws BallastError invalid-input, naming the input and the file; too-large for too many files
 */
export function readFilesJson(body: Uint8Array, names: readonly string[], maxFiles: number): EncodedInputs {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch (error) {
    throw new BallastError('invalid-input', `The body is no JSON: ${messageOf(error)}.`);
  }
  const known = names.map((name) => `"${name}"`).join(', ');
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new BallastError('invalid-input', `The body must be a JSON object with ${known} as base64.`);
  }
  const entries = Object.entries(parsed as Record<string, unknown>);
  const unknown = entries.find(([name]) => !names.includes(name));
  if (unknown) {
    throw new BallastError(
      'invalid-input',
      `There is no input ${JSON.stringify(unknown[0].slice(0, 64))}; this model takes ${known}. Options such as stream and lame go into the query.`,
    );
  }
  const lists = entries.map(([name, value]) => [name, Array.isArray(value) ? value : [value]] as const);
  if (lists.reduce((sum, [, list]) => sum + list.length, 0) > maxFiles) {
    throw tooManyFiles(maxFiles);
  }
  return Object.fromEntries(
    lists.map(([name, list]) => [
      name,
      list.map((value, i) => (value === null ? null : readBase64(value, `${name}[${i}]`))),
    ]),
  );
}

function readBase64(value: unknown, where: string): Uint8Array {
  if (typeof value !== 'string') {
    throw new BallastError('invalid-input', `${where} must be a string of base64, or a data: URL.`);
  }
  let text = value;
  if (value.startsWith('data:')) {
    const prefix = DATA_URL.exec(value)?.[0] ?? '';
    if (!prefix.endsWith(';base64,')) {
      throw new BallastError('invalid-input', `${where} is a data: URL without ";base64,".`);
    }
    text = value.slice(prefix.length);
  }
  // Command line tools break base64 into lines.
  if (/\s/.test(text)) text = text.replace(/\s+/g, '');
  if (!BASE64.test(text)) throw new BallastError('invalid-input', `${where} is no base64.`);
  // Memory of its own, not of Node's pool: it may be handed to another thread.
  const bytes = new Uint8Array(Buffer.byteLength(text, 'base64'));
  Buffer.from(bytes.buffer).write(text, 'base64');
  return bytes;
}
