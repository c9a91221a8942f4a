import protobuf from 'protobufjs/minimal.js';
import type { ModelView } from './model-view.js';
import { joined } from './wire-pieces.js';

/** Bytes that take the place of a stretch of the graph; an empty stretch inserts. */
interface Edit {
  readonly from: number;
  readonly end: number;
  readonly bytes: Uint8Array;
}

/**
 * Changes to the graph of a model. Everything that is not named in an edit keeps its bytes, and the weights are
 * copied once, when the new file is written.
 */
export class Splice {
  private readonly edits: Edit[] = [];

  constructor(private readonly model: ModelView) {}

  /** Puts a field of GraphProto (tag included) where another begins or ends. */
  insert(at: number, field: Uint8Array): void {
    this.replace(at, at, field);
  }

  /** Puts a field of GraphProto in the place of those from `from` to `end`; edits must not overlap. */
  replace(from: number, end: number, field: Uint8Array): void {
    this.edits.push({ from, end, bytes: field });
  }

  /**
   * The new file: the model's own bytes, where nothing was changed.
   * @param reuse - write into the model's own buffer, around its longest unchanged stretch, where there is room on
   *   both sides of the model; the model is lost then
   */
  finish(reuse = false): Uint8Array {
    const { bytes, graphRanges } = this.model;
    if (this.edits.length === 0) return bytes;
    // A stable sort: what was inserted at one place first comes first.
    const edits = [...this.edits].sort((a, b) => a.from - b.from);
    const pieces: Uint8Array[] = [];
    let copied = 0;
    const keep = (end: number): void => {
      pieces.push(bytes.subarray(copied, end));
      copied = end;
    };
    for (const { start, from, end } of graphRanges) {
      const inside = edits.filter((edit) => edit.from >= from && edit.end <= end);
      const growth = inside.reduce((sum, edit) => sum + edit.bytes.length - (edit.end - edit.from), 0);
      keep(start);
      pieces.push(
        protobuf.Writer.create()
          .uint32(GRAPH_TAG)
          .uint32(end - from + growth)
          .finish(),
      );
      copied = from;
      for (const edit of inside) {
        keep(edit.from);
        pieces.push(edit.bytes);
        copied = edit.end;
      }
      keep(end);
    }
    keep(bytes.length);
    return (reuse && writeAround(pieces, bytes)) || joined(pieces);
  }
}

/** The tag of ModelProto.graph: field 7, length-delimited. */
const GRAPH_TAG = (7 << 3) | 2;

/** Leaves the longest piece (the weights) where it lies, in the buffer of `bytes`, and writes the others around it. */
function writeAround(pieces: readonly Uint8Array[], bytes: Uint8Array): Uint8Array | undefined {
  const kept = pieces.reduce((longest, piece) => (piece.length > longest.length ? piece : longest));
  const index = pieces.indexOf(kept);
  // Copied before they are written, since they may lie where others go.
  const before = joined(pieces.slice(0, index));
  const after = joined(pieces.slice(index + 1));
  const start = kept.byteOffset - before.length;
  const length = before.length + kept.length + after.length;
  if (kept.buffer !== bytes.buffer || start < 0 || start + length > bytes.buffer.byteLength) return undefined;
  const whole = Buffer.from(bytes.buffer, start, length);
  whole.set(before);
  whole.set(after, before.length + kept.length);
  return whole;
}
