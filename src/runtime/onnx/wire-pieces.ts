import protobuf from 'protobufjs/minimal.js';

/** Bytes to be written one after another. They are joined once, at the end, so no weight is copied on the way. */
export type Pieces = readonly Uint8Array[];

/**
 * A length-delimited field of protobuf.
 * @param number - the field's number
 * @param content - a text, or the message's own fields
 */
export function lengthDelimited(number: number, content: string | Pieces): Pieces {
  const pieces = typeof content === 'string' ? [Buffer.from(content)] : content;
  const head = protobuf.Writer.create().uint32((number << 3) | 2);
  return [head.uint32(byteLength(pieces)).finish(), ...pieces];
}

/** Bytes in all pieces together. */
export function byteLength(pieces: Pieces): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Writes the pieces into memory of their own. */
export function joined(pieces: Pieces): Uint8Array {
  // Left unfilled, since every byte is about to be written.
  const whole = Buffer.allocUnsafeSlow(byteLength(pieces));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
