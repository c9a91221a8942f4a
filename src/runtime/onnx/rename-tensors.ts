import { GraphView } from './graph-view.js';
import { lengthDelimited, type Pieces } from './wire-pieces.js';
import type { WireReader } from './wire-reader.js';

/** The messages of onnx.proto between a graph and the names of its tensors. */
type Message = 'graph' | 'node' | 'attribute' | 'value' | 'tensor' | 'sparse' | 'annotation' | 'entry';

/** The fields of each message that hold a tensor's name. */
const NAMES: Readonly<Record<Message, readonly number[]>> = {
  graph: [],
  node: [1, 2],
  attribute: [],
  value: [1],
  tensor: [8],
  sparse: [],
  annotation: [1],
  entry: [2],
};

/** The fields of each message that hold a message with such names in it, at any depth. */
const PARTS: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  graph: { 1: 'node', 5: 'tensor', 11: 'value', 12: 'value', 13: 'value', 14: 'annotation', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 6: 'graph', 11: 'graph' },
  value: {},
  tensor: {},
  sparse: { 1: 'tensor' },
  annotation: { 2: 'entry' },
  entry: {},
};

/**
 * A field of GraphProto with other names for some tensors, wherever it mentions them: in graphs inside nodes as well,
 * unless such a graph calls one of its own tensors the same. All else keeps its bytes.
 * @param reader - stands on the field
 * @param names - new names by old ones
 * @throws BallastError invalid-model where the field is damaged
 */
export function renameTensors(reader: WireReader, names: ReadonlyMap<string, string>): Pieces {
  return renamed(reader, 'graph', names) ?? [reader.bytes.subarray(reader.start, reader.end)];
}

/** The field that the reader stands on; undefined where it mentions none of the names. */
function renamed(
  reader: WireReader,
  parent: Message,
  names: ReadonlyMap<string, string>,
): Pieces | undefined {
  if (NAMES[parent].includes(reader.field)) {
    const name = names.get(reader.text());
    return name === undefined ? undefined : lengthDelimited(reader.field, name);
  }
  const part = (PARTS[parent] as Readonly<Record<number, Message | undefined>>)[reader.field];
  if (part === undefined) return undefined;
  const visible = part === 'graph' ? withoutThoseOf(reader, names) : names;
  const pieces: Uint8Array[] = [];
  let copied = reader.from;
  for (const message = reader.message(); message.next();) {
    const field = renamed(message, part, visible);
    if (field === undefined) continue;
    pieces.push(reader.bytes.subarray(copied, message.start));
    for (const piece of field) pieces.push(piece);
    copied = message.end;
  }
  if (pieces.length === 0) return undefined;
  return lengthDelimited(reader.field, [...pieces, reader.bytes.subarray(copied, reader.end)]);
}

/** The names that a graph inside a node takes from around it: those that it gives to no tensor of its own. */
function withoutThoseOf(reader: WireReader, names: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const graph = new GraphView();
  graph.read(reader.message());
  const own = graph.names();
  for (const { name } of graph.inputs) own.add(name);
  return new Map([...names].filter(([name]) => !own.has(name)));
}
