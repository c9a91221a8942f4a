import { BallastError } from '../errors.js';
import { closestNames } from '../runtime/onnx/closest-names.js';
import { corruptionNames, type CorruptionName, type Severity } from './corruptions/corruption.js';

/** What was done to the pictures: nothing, or one common corruption at one severity. */
export interface Condition {
  /** As the report names it: `clean`, or `fog:3`. */
  readonly name: string;
  /** Undefined for clean pictures. */
  readonly corruption?: { readonly name: CorruptionName; readonly severity: Severity };
}

/** The severity where none is written. */
export const DEFAULT_SEVERITY = 3;

/**
 * Reads a list of conditions: `clean`, a corruption's name with or without its severity (`fog`, `fog:5`), or `all`
 * (`all:5`) for clean pictures and the fifteen corruptions.
 * @param text - separated by commas
 * @returns each once, in the order of the list
 * @throws BallastError invalid-input for a name or a severity that is none, with the nearest name
 */
export function parseConditions(text: string): Condition[] {
  const found = new Map<string, Condition>();
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    for (const condition of conditionsOf(item)) found.set(condition.name, condition);
  }
  if (found.size > 0) return [...found.values()];
  throw new BallastError('invalid-input', 'No condition is named; give some such as clean,gaussian-noise:3.');
}

function conditionsOf(item: string): Condition[] {
  const [name, ...more] = item.split(':');
  const written = more.at(0);
  if (name === 'clean' && written === undefined) return [{ name }];
  const severity = severityOf(written, item, more.length > 1);
  if (name === 'all') {
    return [{ name: 'clean' }, ...corruptionNames.map((corruption) => conditionOf(corruption, severity))];
  }
  const corruption = corruptionNames.find((known) => known === name);
  if (corruption !== undefined) return [conditionOf(corruption, severity)];
  const near = closestNames(name, ['clean', 'all', ...corruptionNames], 1).at(0);
  throw new BallastError(
    'invalid-input',
    `There is no condition "${name}"${near === undefined ? '' : `; did you mean "${near}"?`} There are clean, all, ${corruptionNames.join(', ')}.`,
  );
}

function conditionOf(name: CorruptionName, severity: Severity): Condition {
  return { name: `${name}:${severity}`, corruption: { name, severity } };
}

function severityOf(written: string | undefined, item: string, more: boolean): Severity {
  const severity = written === undefined ? DEFAULT_SEVERITY : Number(written);
  if (!more && [1, 2, 3, 4, 5].includes(severity)) return severity as Severity;
  throw new BallastError(
    'invalid-input',
    `The condition "${item}" has no severity that there is; after the colon comes 1, 2, 3, 4 or 5, such as fog:3, and none after clean.`,
  );
}
