import type { z } from 'zod';

/** Longest text that an error repeats, in characters. */
const LONGEST_TEXT = 64;
/** Longest list that it repeats, in elements. */
const LONGEST_LIST = 16;

/** What zod calls a type, and what a sentence calls it. */
const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
};

/** For a schema's `safeParse`: its issues then say what would be right, where the schema has no sentence of its own. */
export const TELLING = { error: whatIsRight, reportInput: true } as const;

/**
 * The end of a sentence about a mistake, such as `found 0; it must be at least 1`.
 * @param issue - of a schema that was parsed with TELLING
 */
export function foundAndRight(issue: z.core.$ZodIssue): string {
  return `found ${shown(issue.input)}; ${issue.message}`;
}

/**
 * The same with its place in front, where it is not the whole value: `inputs.0.name: found 5; it must be text`.
 * @param issue - of a schema that was parsed with TELLING
 */
export function whereFoundAndRight(issue: z.core.$ZodIssue): string {
  const place = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return place + foundAndRight(issue);
}

/** A value as an error repeats it: as JSON, unless it is long. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (typeof value === 'string') return JSON.stringify(value.slice(0, LONGEST_TEXT));
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (!Array.isArray(value)) return 'an object';
  const isShort = value.length <= LONGEST_LIST && value.every((element) => typeof element !== 'object');
  return isShort ? `[${value.map(shown).join(', ')}]` : `a list of ${value.length}`;
}

function whatIsRight(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `it must be ${TYPES[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return allowed(issue.values);
    case 'too_small':
      return bound(issue.origin, issue.exact, issue.inclusive ? 'at least' : 'more than', issue.minimum);
    case 'too_big':
      return bound(issue.origin, issue.exact, issue.inclusive ? 'at most' : 'less than', issue.maximum);
    case 'invalid_union':
      return Array.isArray(issue.options) ? allowed(issue.options) : alternatives(issue.errors);
    default:
      return undefined;
  }
}

function allowed(values: readonly unknown[]): string {
  const texts = values.map((value) => JSON.stringify(value));
  return texts.length === 1 ? `it must be ${texts[0]}` : `allowed: ${texts.join(', ')}`;
}

function bound(origin: string, exact: boolean | undefined, side: string, limit: number | bigint): string {
  const least = exact === true ? 'exactly' : side;
  if (origin === 'array') return `it must have ${least} ${limit} elements`;
  if (origin === 'string') return `it must have ${least} ${limit} characters`;
  return `it must be ${least} ${limit}`;
}

/** What would be right for any of a union's schemas, the first mistake of each. */
function alternatives(errors: readonly (readonly z.core.$ZodIssue[])[]): string | undefined {
  const told = errors.flatMap((issues) =>
    issues.slice(0, 1).map(({ path, message }) => [...path, message].join(': ')),
  );
  const [first, ...others] = new Set(told);
  return [first, ...others.map((other) => other.replace(/^it must be /, ''))].join(', or ');
}
