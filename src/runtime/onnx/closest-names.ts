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

/** Edits between two names (Levenshtein); a name that holds the other whole is near, however long it is. */
function distance(a: string, b: string): number {
  if (a !== '' && b !== '' && (a.includes(b) || b.includes(a))) return Math.abs(a.length - b.length) / 4;
  // Past this length the table would cost more than the hint is worth.
  if (a.length > 256 || b.length > 256) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
  }
  return row[b.length];
}
