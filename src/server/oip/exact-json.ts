/** Strings are matched first, so that digits inside them are left alone; fractions and exponents are no integers. */
const STRINGS_AND_LONG_INTEGERS = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g;

const SIXTEEN_DIGITS = /\d{16}/;

/**
 * Parses JSON in which 64-bit integers may stand: where `wide` says that they do, integers of 16 digits or more
 * come back as strings, because a number would round those beyond 2^53 in silence.
 * @param text - JSON
 * @param wide - asked once, with the value that JSON.parse makes
 * @throws SyntaxError where the text is no JSON
 */
export function parseExactly(text: string, wide: (parsed: unknown) => boolean): unknown {
  const parsed: unknown = JSON.parse(text);
  if (!SIXTEEN_DIGITS.test(text) || !wide(parsed)) return parsed;
  return JSON.parse(
    text.replace(STRINGS_AND_LONG_INTEGERS, (token) => (token.startsWith('"') ? token : `"${token}"`)),
  );
}
