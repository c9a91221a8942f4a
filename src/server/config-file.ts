import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { BallastError, messageOf } from '../errors.js';
import type { Given } from './config.js';

/**
 * Reads settings from a YAML file; the keys are those of ServerConfig.
 * @param file - path
 * @returns what the file holds, each with the line it stands in
 * @throws BallastError invalid-input where the file cannot be read or is no YAML mapping
 */
export async function readConfigFile(file: string): Promise<Record<string, Given>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new BallastError('invalid-input', `The configuration file cannot be read: ${messageOf(error)}`);
  }
  const document = parseDocument(text);
  const broken = document.errors.at(0);
  if (broken) throw new BallastError('invalid-input', `${file}: ${broken.message}`);
  const content: unknown = document.toJS();
  if (content === null) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new BallastError('invalid-input', `${file} must hold settings, one "key: value" a line.`);
  }
  return Object.fromEntries(
    Object.entries(content).map(([key, value]: [string, unknown]) => [
      key,
      { value, where: `${file}, key "${key}"` },
    ]),
  );
}
