import { BallastError } from '../../errors.js';
import type { ModelView } from './model-view.js';
import { LARGEST_MODEL } from './read-model.js';
import { byteLength, joined, lengthDelimited, type Pieces } from './wire-pieces.js';
import { WireReader } from './wire-reader.js';

/** Field numbers of ModelProto. */
const IR_VERSION = 1;
const GRAPH = 7;

/**
 * A model with another graph; all else keeps its bytes.
 * @param fields - those of the new GraphProto
 * @param oldest - the version of the format that the graph needs, below 128; an older model is made one of it
 * @param more - further fields of the ModelProto
 * @returns a model in memory of its own, each weight copied as often as it is among the fields
 * @throws BallastError invalid-model where it would be larger than an ONNX file can be
 */
export function replaceGraph(
  { bytes, irVersion }: ModelView,
  fields: Pieces,
  oldest: number,
  more: Pieces = [],
): Uint8Array {
  const pieces: Uint8Array[] = [];
  let graph = lengthDelimited(GRAPH, fields);
  for (const model = new WireReader(bytes); model.next();) {
    if (model.field === GRAPH) {
      for (const piece of graph) pieces.push(piece);
      // A graph in several pieces becomes one.
      graph = [];
    } else if (model.field === IR_VERSION && irVersion < oldest) {
      pieces.push(Uint8Array.of(IR_VERSION << 3, oldest));
    } else pieces.push(bytes.subarray(model.start, model.end));
  }
  for (const piece of more) pieces.push(piece);
  const size = byteLength(pieces);
  if (size <= LARGEST_MODEL) return joined(pieces);
  throw new BallastError(
    'invalid-model',
    `The changed ONNX model would have ${size} bytes, and no ONNX file has more than ${LARGEST_MODEL}. Save the model with ` +
      'its weights in external data (onnx.save_model with save_as_external_data=True).',
  );
}
