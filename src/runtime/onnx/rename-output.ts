import protobuf from 'protobufjs/minimal.js';
import type { NodeView } from './node-view.js';
import { WireReader } from './wire-reader.js';

/** The number of NodeProto.output, and of GraphProto.node, as tags of length-delimited fields. */
const OUTPUT = 2;
const OUTPUT_TAG = (OUTPUT << 3) | 2;
const NODE_TAG = (1 << 3) | 2;

/** The field of GraphProto that holds a node, with another name for the node's first output; all else keeps its bytes. */
export function renameFirstOutput(bytes: Uint8Array, node: NodeView, name: string): Uint8Array {
  const field = new WireReader(bytes, node.start, node.end);
  field.next();
  const reader = field.message();
  while (reader.next() && reader.field !== OUTPUT);
  const renamed = Buffer.concat([
    bytes.subarray(field.from, reader.start),
    protobuf.Writer.create().uint32(OUTPUT_TAG).string(name).finish(),
    bytes.subarray(reader.end, field.end),
  ]);
  return protobuf.Writer.create().uint32(NODE_TAG).bytes(renamed).finish();
}
