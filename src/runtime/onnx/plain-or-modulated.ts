import protobuf from 'protobufjs/minimal.js';
import { readSparseHeader, readTensorHeader } from './tensor-header.js';
import type { ModelView } from './model-view.js';
import { renameTensors } from './rename-tensors.js';
import { replaceGraph } from './replace-graph.js';
import { SharedWeights } from './shared-weights.js';
import type { UniqueNames } from './unique-names.js';
import { readValueInfo } from './value-info.js';
import { lengthDelimited, type Pieces } from './wire-pieces.js';
import { WireReader } from './wire-reader.js';

/** What a modulated network has that the plain one lacks; all of it as fields of GraphProto. */
export interface Modulated {
  /** The nodes that stand in the place of one, by where that one begins in the file. */
  readonly layers: ReadonlyMap<number, Uint8Array>;
  readonly inputs: Uint8Array;
  /** The nodes that compute `identity`. */
  readonly condition: Uint8Array;
  /** A bool: whether the modulation changes nothing. */
  readonly identity: string;
  /** Outputs after those that the network has, by name. */
  readonly exposed: ReadonlyMap<string, Uint8Array>;
}

/** Field numbers of GraphProto. */
const NODE = 1;
const INITIALIZER = 5;
const INPUT = 11;
const OUTPUT = 12;
const VALUE_INFO = 13;
const ANNOTATION = 14;
const SPARSE_INITIALIZER = 15;

/** The field of AttributeProto that says that it holds a graph. */
const ATTRIBUTE_TYPE_GRAPH = protobuf.Writer.create()
  .uint32(20 << 3)
  .int32(5)
  .finish();

/**
 * Before this version of the format every initialiser, though a constant, had to be listed as an input, which none
 * within a branch can be; since then one that is listed is the default of an input, and no constant.
 */
const DEFAULTS_VERSION = 4;

/**
 * A model that runs either a network as it is or the same network modulated: an If, with a network in each branch.
 *
 * The weights are constants of both branches, since onnxruntime merges and rearranges layers by constants of their own
 * graph alone: with the weights around the If, the plain branch would not be optimised as the plain network is. What
 * is stored in the model is in the new one once (see SharedWeights; small tensors are copied), what is stored in other
 * files is referred to twice. Inputs, and initialisers that an input may replace, stay around the If, where both
 * branches see them.
 *
 * An outer name must not be used again inside, so a tensor that is an output has another name in the branches.
 *
 * @throws BallastError invalid-model where the new model would be larger than an ONNX file can be
 */
export function plainOrModulated(view: ModelView, modulated: Modulated, names: UniqueNames): Uint8Array {
  const { graph, bytes } = view;
  const fromInside = (name: string): boolean => graph.producer(name) !== undefined;
  const fed = new Set(view.irVersion < DEFAULTS_VERSION ? [] : graph.inputs.map(({ name }) => name));
  const isConstant = (name: string): boolean => graph.initializers.has(name) && !fed.has(name);
  const outputs = [...graph.outputNames, ...modulated.exposed.keys()];
  const inner = new Map(
    outputs
      .filter((name) => fromInside(name) || isConstant(name))
      .map((name) => [name, names.tensor(`${name}/branch`)]),
  );
  const around: Uint8Array[] = [];
  const plain: Uint8Array[] = [];
  const changed: Uint8Array[] = [];
  const inBoth: Uint8Array[] = [];
  const weights = new SharedWeights(view);
  for (const { from, end } of view.graphRanges) {
    for (const reader = new WireReader(bytes, from, end); reader.next();) place(reader);
  }
  for (const [name, field] of modulated.exposed) {
    around.push(field);
    if (fromInside(name)) addRenamed(field, inBoth);
  }
  around.push(modulated.inputs);
  const results = outputs.filter(fromInside);
  // Without any, as where each output is an input, there is nothing to choose.
  if (results.length > 0) {
    const call = weights.call((name) => inner.get(name) ?? name);
    const choice = ifNode(modulated.identity, results, names.tensor('plain or modulated'), {
      then_branch: [...lengthDelimited(2, 'plain'), ...call, ...plain, ...inBoth],
      else_branch: [...lengthDelimited(2, 'modulated'), ...call, ...changed, ...inBoth],
    });
    around.push(modulated.condition, ...choice);
  }
  return replaceGraph(view, around, Math.max(DEFAULTS_VERSION, weights.irVersion), weights.modelFields);

  /** Sorts the field that the reader stands on into the branches, around them, or both. */
  function place(reader: WireReader): void {
    const renamed = renameTensors(reader, inner);
    if (reader.field === NODE) {
      append(plain, renamed);
      const instead = modulated.layers.get(reader.start);
      if (instead === undefined) append(changed, renamed);
      else addRenamed(instead, changed);
      return;
    }
    const { inside, outside } = whereabouts(reader);
    const shared =
      inside && reader.field === INITIALIZER && weights.take(reader, readTensorHeader(reader.message()));
    if (inside && !shared) append(inBoth, renamed);
    if (outside) around.push(bytes.subarray(reader.start, reader.end));
  }

  function whereabouts(reader: WireReader): { readonly inside: boolean; readonly outside: boolean } {
    const name = tensorOf(reader);
    const constant = isConstant(name);
    switch (reader.field) {
      case INITIALIZER:
      case SPARSE_INITIALIZER:
        return { inside: constant, outside: !constant || outputs.includes(name) };
      case INPUT:
        return { inside: false, outside: !constant };
      case OUTPUT:
        return { inside: fromInside(name), outside: true };
      case VALUE_INFO: {
        const inside = constant || fromInside(name);
        return { inside, outside: !inside };
      }
      default:
        return { inside: reader.field === ANNOTATION, outside: reader.field !== ANNOTATION };
    }
  }

  function addRenamed(fields: Uint8Array, to: Uint8Array[]): void {
    for (const reader = new WireReader(fields); reader.next();) append(to, renameTensors(reader, inner));
  }
}

/** The tensor that a field of GraphProto declares or holds; '' for other fields. */
function tensorOf(reader: WireReader): string {
  switch (reader.field) {
    case INITIALIZER:
      return readTensorHeader(reader.message()).name;
    case SPARSE_INITIALIZER:
      return readSparseHeader(reader.message()).name;
    case INPUT:
    case OUTPUT:
    case VALUE_INFO:
      return readValueInfo(reader.message()).name;
    default:
      return '';
  }
}

/** An If with a graph for each of its branches. */
function ifNode(
  condition: string,
  outputs: readonly string[],
  name: string,
  branches: Readonly<Record<string, Pieces>>,
): Pieces {
  const attributes = Object.entries(branches).flatMap(([branch, graph]) =>
    lengthDelimited(5, [...lengthDelimited(1, branch), ...lengthDelimited(6, graph), ATTRIBUTE_TYPE_GRAPH]),
  );
  return lengthDelimited(NODE, [
    ...lengthDelimited(1, condition),
    ...outputs.flatMap((output) => lengthDelimited(2, output)),
    ...lengthDelimited(3, name),
    ...lengthDelimited(4, 'If'),
    ...attributes,
  ]);
}

function append(list: Uint8Array[], pieces: Pieces): void {
  for (const piece of pieces) list.push(piece);
}
