import protobuf from 'protobufjs/minimal.js';
import type { ModelView } from './model-view.js';
import type { TensorHeader } from './tensor-header.js';
import { lengthDelimited, type Pieces } from './wire-pieces.js';
import type { WireReader } from './wire-reader.js';

/** Model-local functions came with this version of the format. */
const FUNCTIONS_VERSION = 8;

/** Smaller tensors are not worth it; and among them are the shapes that onnxruntime wants to see at once. */
const LEAST_BYTES = 1024;

/** Constant returns real numbers (TensorProto.DataType) since ever, and all the others up to here since set 9. */
const REAL_TYPES: ReadonlySet<number> = new Set([1, 10, 11]);
const LAST_TYPE = 13;
const ALL_TYPES_OPSET = 9;

/** The field of AttributeProto that says that it holds a tensor. */
const ATTRIBUTE_TYPE_TENSOR = protobuf.Writer.create()
  .uint32(20 << 3)
  .int32(4)
  .finish();

const FUNCTION = 'Weights';

/**
 * Weights that several graphs of one model have as constants of their own, though the file holds them once: in a
 * model-local function that returns them. onnxruntime replaces each call by what is in the function before it looks
 * for anything to optimise, so that the graphs cannot be told from those with initialisers.
 */
export class SharedWeights {
  private readonly names: string[] = [];
  private readonly constants: Uint8Array[] = [];
  private readonly domain: string;
  private readonly opset: number;

  constructor({ opsets, functionViews }: ModelView) {
    this.opset = opsets.get('') ?? 0;
    const taken = new Set([...opsets.keys(), ...[...functionViews].map(({ key }) => key.split('\0')[0])]);
    let domain = 'ballast';
    for (let i = 2; taken.has(domain); i++) domain = `ballast${i}`;
    this.domain = domain;
  }

  /**
   * Takes a tensor, unless it is small, of a type that no constant has, or stored in another file.
   * @param field - stands on the field of GraphProto that holds it
   * @returns whether it was taken
   */
  take(field: WireReader, { name, elementType, location }: TensorHeader): boolean {
    const fits = REAL_TYPES.has(elementType) || (this.opset >= ALL_TYPES_OPSET && elementType <= LAST_TYPE);
    if (!fits || location !== undefined || field.end - field.from < LEAST_BYTES) return false;
    const tensor = lengthDelimited(5, [field.bytes.subarray(field.from, field.end)]);
    const attribute = [...lengthDelimited(1, 'value'), ...tensor, ATTRIBUTE_TYPE_TENSOR];
    const node = [
      ...lengthDelimited(2, `weight ${this.names.length}`),
      ...lengthDelimited(4, 'Constant'),
      ...lengthDelimited(5, attribute),
    ];
    for (const piece of lengthDelimited(7, node)) this.constants.push(piece);
    this.names.push(name);
    return true;
  }

  /**
   * The node that gives a graph all weights taken, as a field of GraphProto; it comes before those that read them.
   * @param nameOf - a weight's name in the graph
   */
  call(nameOf: (name: string) => string): Pieces {
    if (this.names.length === 0) return [];
    return lengthDelimited(1, [
      ...this.names.flatMap((name) => lengthDelimited(2, nameOf(name))),
      ...lengthDelimited(4, FUNCTION),
      ...lengthDelimited(7, this.domain),
    ]);
  }

  /** What the model needs for the calls, as fields of ModelProto. */
  get modelFields(): Pieces {
    if (this.names.length === 0) return [];
    return [
      ...lengthDelimited(8, operatorSet(this.domain, 1)),
      ...lengthDelimited(25, [
        ...lengthDelimited(1, FUNCTION),
        ...this.names.flatMap((_, i) => lengthDelimited(5, `weight ${i}`)),
        ...this.constants,
        ...lengthDelimited(9, operatorSet('', this.opset)),
        ...lengthDelimited(10, this.domain),
      ]),
    ];
  }

  /** The version of the format that this needs. */
  get irVersion(): number {
    return this.names.length === 0 ? 0 : FUNCTIONS_VERSION;
  }
}

function operatorSet(domain: string, version: number): Pieces {
  return [
    ...lengthDelimited(1, domain),
    protobuf.Writer.create()
      .uint32(2 << 3)
      .int64(version)
      .finish(),
  ];
}
