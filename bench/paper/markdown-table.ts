/**
 * Lays rows of text out as a Markdown table whose columns line up.
 * @param rows - the first is the head; all have as many cells
 */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = escaped[0].map((_, column) => Math.max(3, ...escaped.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [line(escaped[0]), rule, ...escaped.slice(1).map(line)].join('\n');
}

/** A share in per cent, with one decimal. */
export function percent(share: number): string {
  return (100 * share).toFixed(1);
}

/** A difference of shares in points of per cent, with its sign. */
export function points(difference: number): string {
  const text = percent(difference);
  return difference < 0 && text !== '-0.0' ? text : `+${text.replace('-', '')}`;
}
