import { WireReader } from './wire-reader.js';

/** Where an attribute of a node lies in the file. */
interface AttributeRange {
  readonly name: string;
  readonly from: number;
  readonly end: number;
}

/** A NodeProto, with its attributes left unread until they are asked for. */
export class NodeView {
  readonly inputs: string[] = [];
  readonly outputs: string[] = [];
  readonly name: string = '';
  readonly opType: string = '';
  /** '' for the operators of ONNX itself. */
  readonly domain: string = '';
  readonly overload: string = '';
  private readonly attributes: AttributeRange[] = [];

  /**
   * @param reader - stands on the field that holds the node
   * @throws BallastError invalid-model where the node is damaged
   */
  constructor(reader: WireReader) {
    this.bytes = reader.bytes;
    this.start = reader.start;
    this.end = reader.end;
    const node = reader.message();
    while (node.next()) {
      if (node.field === 1) this.inputs.push(node.text());
      else if (node.field === 2) this.outputs.push(node.text());
      else if (node.field === 3) this.name = node.text();
      else if (node.field === 4) this.opType = node.text();
      else if (node.field === 5) this.attributes.push(attributeRange(node));
      else if (node.field === 7) this.domain = node.text();
      else if (node.field === 8) this.overload = node.text();
    }
    if (this.domain === 'ai.onnx') this.domain = '';
  }

  private readonly bytes: Uint8Array;
  /** The field that holds the node, tag included. */
  readonly start: number;
  readonly end: number;

  /** What a person calls this node. */
  get label(): string {
    return this.name === '' ? this.opType : `${this.opType} "${this.name}"`;
  }

  /** An integer attribute, or what it is when left out. */
  integer(name: string, otherwise: number): number {
    const range = this.attributes.find((attribute) => attribute.name === name);
    if (!range) return otherwise;
    const attribute = new WireReader(this.bytes, range.from, range.end);
    while (attribute.next()) if (attribute.field === 3) return attribute.integer();
    return otherwise;
  }

  /** A list of integers; undefined where the node has no such attribute. */
  integers(name: string): number[] | undefined {
    const range = this.attributes.find((attribute) => attribute.name === name);
    if (!range) return undefined;
    const list: number[] = [];
    const attribute = new WireReader(this.bytes, range.from, range.end);
    while (attribute.next()) if (attribute.field === 8) attribute.integers(list);
    return list;
  }

  /** A text; undefined where the node has no such attribute. */
  text(name: string): string | undefined {
    const range = this.attributes.find((attribute) => attribute.name === name);
    if (!range) return undefined;
    const attribute = new WireReader(this.bytes, range.from, range.end);
    while (attribute.next()) if (attribute.field === 4) return attribute.text();
    return undefined;
  }

  /** The tensors in the node's attributes, sparse ones among them, each as a reader over its bytes. */
  *tensors(): Generator<{ readonly sparse: boolean; readonly reader: WireReader }> {
    for (const attribute of this.readers()) {
      if (attribute.field === 5 || attribute.field === 10)
        yield { sparse: false, reader: attribute.message() };
      else if (attribute.field === 22 || attribute.field === 23)
        yield { sparse: true, reader: attribute.message() };
    }
  }

  /** The graphs in the node's attributes (bodies of If, Loop, Scan, …), each as a reader over its bytes. */
  *graphs(): Generator<WireReader> {
    for (const attribute of this.readers()) {
      if (attribute.field === 6 || attribute.field === 11) yield attribute.message();
    }
  }

  private *readers(): Generator<WireReader> {
    for (const { from, end } of this.attributes) {
      const attribute = new WireReader(this.bytes, from, end);
      while (attribute.next()) yield attribute;
    }
  }
}

function attributeRange(node: WireReader): AttributeRange {
  const { from, end } = node;
  const attribute = node.message();
  let name = '';
  while (attribute.next()) {
    if (attribute.field !== 1) continue;
    name = attribute.text();
    break;
  }
  return { name, from, end };
}
