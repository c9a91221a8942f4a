import { distance as editDistance } from 'fastest-levenshtein';

/**
 * Names that somebody who wrote `wanted` may have meant, most likely first.
 * @param wanted - a name that does not exist
 * @param names - those that do
 * @param count - how many to return at most
 */
export function closestNames(wanted: string, names: Iterable<string>, count = 3): string[] {
  const lower = wanted.toLowerCase();
  return [...names]
    .map((name) => ({ name, distance: distance(lower, name.toLowerCase()) }))
    .filter(({ name, distance: away }) => away < Math.max(wanted.length, name.length) * 0.6)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}

/** Edits between two names; a name that holds the other whole is near, however long it is. */
function distance(a: string, b: string): number {
  if (a !== '' && b !== '' && (a.includes(b) || b.includes(a))) return Math.abs(a.length - b.length) / 4;
  return editDistance(a, b);
}
