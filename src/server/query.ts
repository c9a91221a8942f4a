import type { z } from 'zod';
import { BallastError } from '../errors.js';
import { foundAndRight, TELLING } from '../schema-mistake.js';

/**
 * Reads a query by its schema.
 * @param search - without its question mark
 * @throws BallastError invalid-input, naming the parameter, for one that is unknown, wrong or given twice
 */
export function readQuery<Shape extends z.ZodRawShape>(
  search: string,
  schema: z.ZodObject<Shape, z.core.$strict>,
): z.output<z.ZodObject<Shape, z.core.$strict>> {
  const given: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (Object.hasOwn(given, name)) {
      throw new BallastError('invalid-input', `The query parameter "${name.slice(0, 64)}" is given twice.`);
    }
    given[name] = value;
  }
  const parsed = schema.safeParse(given, TELLING);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(schema.shape).join(', ');
    throw new BallastError(
      'invalid-input',
      `There is no query parameter "${issue.keys[0].slice(0, 64)}"; there are ${known}.`,
    );
  }
  throw new BallastError(
    'invalid-input',
    `The query parameter "${String(issue.path[0])}" is wrong: ${foundAndRight(issue)}.`,
  );
}
