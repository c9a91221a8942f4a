import protobuf from 'protobufjs/minimal.js';
import type { TensorType } from '../tensor.js';
import { joined, lengthDelimited, type Pieces } from './wire-pieces.js';

type Writer = protobuf.Writer;

/** A number of rows or columns, or the name of one that is only known when the graph runs. */
export type Dim = number | string;

/** A constant of a graph: its numbers are stored as they lie in memory, which ONNX wants little-endian. */
export interface ConstantTensor {
  readonly type: Exclude<TensorType, 'string'>;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView;
}

/** A node's attribute. ONNX keeps whole numbers and floats apart, so each value says what it is. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly tensor: ConstantTensor }
  | { readonly graph: GraphBuilder };

/** TensorProto.DataType of the ONNX specification (onnx.proto). */
const DATA_TYPE: Readonly<Record<TensorType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

/** Protobuf tag of a field: its number, and whether it is a varint (0), 32 bits (5) or bytes with a length (2). */
const varint = (field: number): number => field << 3;
const bytes = (field: number): number => (field << 3) | 2;
const fixed32 = (field: number): number => (field << 3) | 5;

function tensorPieces(tensor: ConstantTensor, name: string): Pieces {
  const writer = protobuf.Writer.create();
  for (const dim of tensor.dims) writer.uint32(varint(1)).int64(dim);
  writer.uint32(varint(2)).int32(DATA_TYPE[tensor.type]);
  writer.uint32(bytes(8)).string(name);
  const { buffer, byteOffset, byteLength } = tensor.data;
  return [writer.finish(), ...lengthDelimited(9, [new Uint8Array(buffer, byteOffset, byteLength)])];
}

function encodeTensor(tensor: ConstantTensor, name: string): Uint8Array {
  return joined(tensorPieces(tensor, name));
}

/** A constant as a field of a GraphProto that is already written; its numbers are not copied. */
export function constantField(tensor: ConstantTensor, name: string): Pieces {
  return lengthDelimited(5, tensorPieces(tensor, name));
}

function encodeValueInfo(name: string, type: TensorType, dims: readonly Dim[]): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(bytes(1)).string(name);
  writer.uint32(bytes(2)).fork(); // TypeProto
  writer.uint32(bytes(1)).fork(); // TypeProto.Tensor
  writer.uint32(varint(1)).int32(DATA_TYPE[type]);
  writer.uint32(bytes(2)).fork(); // TensorShapeProto
  for (const dim of dims) {
    writer.uint32(bytes(1)).fork();
    if (typeof dim === 'number') writer.uint32(varint(1)).int64(dim);
    else writer.uint32(bytes(2)).string(dim);
    writer.ldelim();
  }
  return writer.ldelim().ldelim().ldelim().finish();
}

/** AttributeProto: `f` is field 2, `i` 3, `s` 4, `t` 5, `g` 6, `floats` 7, `ints` 8, the kind 20. */
function writeAttribute(writer: Writer, name: string, attribute: Attribute): void {
  writer.uint32(bytes(1)).string(name);
  let kind: number;
  if ('float' in attribute) {
    kind = 1;
    writer.uint32(fixed32(2)).float(attribute.float);
  } else if ('int' in attribute) {
    kind = 2;
    writer.uint32(varint(3)).int64(attribute.int);
  } else if ('string' in attribute) {
    kind = 3;
    writer.uint32(bytes(4)).string(attribute.string);
  } else if ('tensor' in attribute) {
    kind = 4;
    writer.uint32(bytes(5)).bytes(encodeTensor(attribute.tensor, ''));
  } else if ('graph' in attribute) {
    kind = 5;
    writer.uint32(bytes(6)).bytes(attribute.graph.encode());
  } else if ('floats' in attribute) {
    kind = 6;
    for (const value of attribute.floats) writer.uint32(fixed32(7)).float(value);
  } else {
    kind = 7;
    for (const value of attribute.ints) writer.uint32(varint(8)).int64(value);
  }
  writer.uint32(varint(20)).int32(kind);
}

/**
 * Builds an ONNX GraphProto: declare its inputs and constants, add nodes in the order in which they run, name
 * its outputs. A body of Loop or If is a builder of its own, given as an attribute; its nodes may also read
 * values of the graph around it by their names.
 */
export class GraphBuilder {
  readonly #nodes: Uint8Array[] = [];
  readonly #constants: Uint8Array[] = [];
  readonly #inputs: Uint8Array[] = [];
  readonly #outputs: Uint8Array[] = [];

  /** @param name - the graph's name; it prefixes generated value names, so nested graphs need different ones */
  constructor(readonly name: string) {}

  /** Declares the input `name` and returns that name. */
  input(name: string, type: TensorType, dims: readonly Dim[]): string {
    this.#inputs.push(encodeValueInfo(name, type, dims));
    return name;
  }

  /** Declares that the value `name` is an output. */
  output(name: string, type: TensorType, dims: readonly Dim[]): void {
    this.#outputs.push(encodeValueInfo(name, type, dims));
  }

  /** Stores a constant and returns its name. */
  constant(tensor: ConstantTensor, name = `${this.name}/constant_${this.#constants.length}`): string {
    this.#constants.push(encodeTensor(tensor, name));
    return name;
  }

  /** Adds a node with one output and returns that output's name. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output = `${this.name}/${operator}_${this.#nodes.length}`,
  ): string {
    this.nodeWithOutputs(operator, inputs, [output], attributes);
    return output;
  }

  /**
   * Adds a node with any number of outputs. An empty name, among inputs or outputs, stands for an optional one
   * that is left out.
   * @param domain - the operator set's domain; the standard one when left out
   */
  nodeWithOutputs(
    operator: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): void {
    const writer = protobuf.Writer.create();
    for (const input of inputs) writer.uint32(bytes(1)).string(input);
    for (const output of outputs) writer.uint32(bytes(2)).string(output);
    writer.uint32(bytes(3)).string(`${this.name}/${operator}_${this.#nodes.length}`);
    writer.uint32(bytes(4)).string(operator);
    for (const [name, attribute] of Object.entries(attributes)) {
      writer.uint32(bytes(5)).fork();
      writeAttribute(writer, name, attribute);
      writer.ldelim();
    }
    if (domain !== '') writer.uint32(bytes(7)).string(domain);
    this.#nodes.push(writer.finish());
  }

  /** The bytes of the GraphProto as it stands. */
  encode(): Uint8Array {
    const writer = protobuf.Writer.create();
    for (const node of this.#nodes) writer.uint32(bytes(1)).bytes(node);
    writer.uint32(bytes(2)).string(this.name);
    for (const constant of this.#constants) writer.uint32(bytes(5)).bytes(constant);
    for (const input of this.#inputs) writer.uint32(bytes(11)).bytes(input);
    for (const output of this.#outputs) writer.uint32(bytes(12)).bytes(output);
    return writer.finish();
  }
}

/**
 * Wraps a graph into a ModelProto, ready for `InferenceSession.create`.
 * @param opset - version of the standard operator set
 * @param domains - versions of further operator sets, by domain
 */
export function encodeModel(
  graph: GraphBuilder,
  { opset = 18, domains = {} }: { opset?: number; domains?: Readonly<Record<string, number>> } = {},
): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(varint(1)).int64(8); // ir_version 8 is the one that came with opset 18
  writer.uint32(bytes(2)).string('ballast');
  writer.uint32(bytes(7)).bytes(graph.encode());
  for (const [domain, version] of Object.entries({ '': opset, ...domains })) {
    writer.uint32(bytes(8)).fork();
    writer.uint32(bytes(1)).string(domain);
    writer.uint32(varint(2)).int64(version).ldelim();
  }
  return writer.finish();
}
