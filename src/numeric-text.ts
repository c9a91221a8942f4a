import { z } from 'zod';

/** A schema of a number that also takes its text, as command lines, variables and queries have it. */
export function numericText<T extends z.ZodType>(schema: T): z.ZodPreprocess<T> {
  return z.preprocess((value) => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : NaN;
    return Number.isNaN(number) ? value : number;
  }, schema);
}
