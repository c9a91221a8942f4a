import { BallastError } from '../errors.js';

/** A line of a labels file. */
export interface LabelledName {
  readonly file: string;
  readonly label: string;
}

/**
 * Reads the text of a labels file: CSV with a line `file,label` for each picture, with or without quotes, and with or
 * without these two words as its first line.
 * @param path - named in errors
 * @throws BallastError invalid-input for a line that has not two fields, naming it; where there is none
 */
export function parseLabels(text: string, path: string): LabelledName[] {
  const found: LabelledName[] = [];
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '') return;
    const fields = fieldsOf(line);
    if (fields.length !== 2 || fields.includes('')) {
      throw new BallastError(
        'invalid-input',
        `${path}:${i + 1}: found ${JSON.stringify(line.slice(0, 100))}; a line is file,label, such as photos/1.jpg,cat.`,
      );
    }
    const [file, label] = fields;
    const isHead = found.length === 0 && file.toLowerCase() === 'file' && label.toLowerCase() === 'label';
    if (!isHead) found.push({ file, label });
  });
  if (found.length > 0) return found;
  throw new BallastError('invalid-input', `${path} is empty; it has a line file,label for each picture.`);
}

/** The fields of one line of CSV (RFC 4180): a field in quotes may hold commas, and quotes twice. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  for (const [, field] of line.matchAll(/(?:^|,)(\s*"(?:[^"]|"")*"\s*(?=,|$)|[^,]*)/g)) {
    const text = field.trim();
    fields.push(/^".*"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text);
  }
  return fields;
}
