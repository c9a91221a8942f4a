import { markdownTable } from './markdown-table.js';

/** A line of dashes under each column's head, two spaces between, as formatTable draws it. */
const RULE = /^-+(?: {2}-+)+$/;

/**
 * What another benchmark printed, as Markdown: its tables of columns become Markdown tables, the rest stays.
 * @param printed - blocks of lines with empty lines between
 * @param leaveOut - blocks whose first line it matches are left out
 */
export function markdownOfPrinted(printed: string, leaveOut: RegExp): string {
  return printed
    .trim()
    .split(/\n{2,}/)
    .filter((block) => !leaveOut.test(block.split('\n')[0]))
    .map(markdownOfBlock)
    .join('\n\n');
}

function markdownOfBlock(block: string): string {
  const lines = block.split('\n');
  const rule = lines.at(1) ?? '';
  // A line break in Markdown takes two spaces before it.
  if (!RULE.test(rule)) return lines.map((line) => line.trimEnd()).join('  \n');
  const columns = [...rule.matchAll(/-+/g)].map((found) => [found.index, found.index + found[0].length]);
  const rows = lines.filter((_, i) => i !== 1);
  return markdownTable(rows.map((row) => columns.map(([begin, end]) => row.slice(begin, end).trim())));
}
