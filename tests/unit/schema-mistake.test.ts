import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { numericText } from '#ballast/numeric-text.js';
import { foundAndRight, shown, TELLING, whereFoundAndRight } from '#ballast/schema-mistake.js';

function mistakeIn(schema: z.ZodType, value: unknown): string {
  const parsed = schema.safeParse(value, TELLING);
  if (parsed.success) throw new Error('The schema takes it.');
  return foundAndRight(parsed.error.issues[0]);
}

describe('a mistake is told with what was found and what would be right', () => {
  const kinds = z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('image') }),
    z.object({ kind: z.literal('audio') }),
  ]);
  it.each<[z.ZodType, unknown, string]>([
    [z.number(), 'many', 'found "many"; it must be a number'],
    [z.number(), undefined, 'found nothing; it must be a number'],
    [z.number(), NaN, 'found NaN; it must be a number'],
    [z.int(), 1.5, 'found 1.5; it must be a whole number'],
    [z.int().min(1), 0, 'found 0; it must be at least 1'],
    [z.number().gt(0), 0, 'found 0; it must be more than 0'],
    [z.number().max(1), Infinity, 'found Infinity; it must be a number'],
    [z.number().max(1), 2, 'found 2; it must be at most 1'],
    [z.number().lt(1), 1, 'found 1; it must be less than 1'],
    [z.string(), null, 'found null; it must be text'],
    [z.string().min(1), '', 'found ""; it must have at least 1 characters'],
    [z.boolean(), 1, 'found 1; it must be true or false'],
    [z.array(z.int()).min(1), [], 'found []; it must have at least 1 elements'],
    [z.array(z.int()).length(2), [1], 'found [1]; it must have exactly 2 elements'],
    [z.strictObject({}), ['a', 1], 'found ["a", 1]; it must be an object'],
    [z.record(z.string(), z.int()), Array(17).fill(0), 'found a list of 17; it must be an object'],
    [z.array(z.int()), { a: 1 }, 'found an object; it must be a list'],
    [z.enum(['on', 'off']), 'maybe', 'found "maybe"; allowed: "on", "off"'],
    [z.union([z.int(), z.literal('auto')]), 'x', 'found "x"; it must be a number, or "auto"'],
    [
      z.union([z.literal('none'), z.tuple([z.number(), z.number()])]),
      [0, 'x'],
      'found [0, "x"]; it must be "none", or 1: it must be a number',
    ],
    [z.string().regex(/^a/, 'it must begin with a'), 'b', 'found "b"; it must begin with a'],
    [numericText(z.int()), 'x1', 'found "x1"; it must be a number'],
    [numericText(z.int()), '', 'found ""; it must be a number'],
    [numericText(z.int()), '-1.5', 'found -1.5; it must be a whole number'],
  ])('%#', (schema, value, mistake) => {
    expect(mistakeIn(schema, value)).toBe(mistake);
  });

  it('names the kinds that there are', () => {
    const parsed = kinds.safeParse({ kind: 'video' }, TELLING);
    expect(parsed.error?.issues[0].message).toBe('allowed: "image", "audio"');
  });

  it('says where it is in a larger value', () => {
    const schema = z.object({ inputs: z.array(z.object({ name: z.string() })) });
    const parsed = schema.safeParse({ inputs: [{ name: 5 }] }, TELLING);
    expect(whereFoundAndRight(parsed.error!.issues[0])).toBe('inputs.0.name: found 5; it must be text');
    const whole = schema.safeParse('text', TELLING);
    expect(whereFoundAndRight(whole.error!.issues[0])).toBe('found "text"; it must be an object');
  });

  it('repeats no more than the beginning of a long text', () => {
    expect(shown('x'.repeat(1e6))).toBe(`"${'x'.repeat(64)}"`);
  });
});
