import { readFileSync } from 'node:fs';

/**
 * What `npm start` gives Node.js. All processes of a benchmark get it: one that stops to collect garbage looks like a
 * server that answers late.
 */
export function nodeFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: { start: string } };
  return scripts.start.split(' ').filter((word) => word.startsWith('--'));
}
