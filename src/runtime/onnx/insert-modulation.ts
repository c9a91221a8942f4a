import { BallastError } from '../../errors.js';
import { closestNames } from './closest-names.js';
import { FLOAT } from './element-types.js';
import { GraphBuilder } from './graph-builder.js';
import { countParameters } from './inspect.js';
import { ModelView } from './model-view.js';
import {
  findModulationPoints,
  type LayerKind,
  type ModulationPoint,
  type SkippedLayer,
} from './modulation-points.js';
import { renameFirstOutput } from './rename-output.js';
import { Splice } from './splice.js';
import { UniqueNames } from './unique-names.js';
import { WireReader } from './wire-reader.js';

/** Which layers to modulate; all of them where nothing is said. */
export interface ModulationOptions {
  /** The layers to keep: by name, or by a choice from their names and operators. */
  readonly layers?: readonly string[] | ((name: string, operator: string) => boolean);
  readonly kinds?: readonly LayerKind[];
}

/** A layer whose output is scaled and shifted. */
export interface ModulatedLayer {
  readonly name: string;
  readonly operator: string;
  readonly channels: number;
  /** The inputs [N, channels], float32, that scale and shift. */
  readonly gamma: string;
  readonly beta: string;
}

/** A network with its modulation. */
export interface ModulatedModel {
  readonly model: Uint8Array;
  readonly layers: readonly ModulatedLayer[];
  /** Numbers in one set of scales and shifts. */
  readonly parameters: number;
  /** `parameters` as a share of the network's own. */
  readonly share: number;
  /** Layers that cannot be modulated, and why. */
  readonly skipped: readonly SkippedLayer[];
}

/** Operators broadcast by themselves since this operator set. */
const OLDEST_OPSET = 7;
/** ConstantOfShape, with which a shape of unknown rank is made, came with this one. */
const ANY_RANK_OPSET = 9;

const GRAPH_NODE = 1;
const GRAPH_INPUT = 11;

/**
 * Puts `y = gamma * h + beta` after the linear, convolution and normalisation layers of a network, a scale and a
 * shift for each channel and sample. Both are new inputs, `<layer>.gamma` and `<layer>.beta` [N, C], float32, after
 * those that the network has. The weights keep their bytes, wherever they are stored.
 *
 * With gamma 1 and beta 0 the outputs have the bits of the plain network's where onnxruntime optimises neither (and a
 * zero loses its sign, unless beta is -0). Where it merges layers of the plain network that have a modulation between
 * them here, as a convolution and its batch normalisation, the last bits differ.
 *
 * @throws BallastError invalid-model where it is no ONNX model, nothing in it can be modulated, or it has no layer of a
 *   name asked for
 */
export function insertModulation(bytes: Uint8Array, options: ModulationOptions = {}): ModulatedModel {
  const view = new ModelView(bytes);
  const opset = view.opsets.get('') ?? 0;
  if (opset < OLDEST_OPSET) {
    throw new BallastError(
      'invalid-model',
      `The ONNX model has operator set ${opset}; modulation needs ${OLDEST_OPSET} or newer. Export it again.`,
    );
  }
  const found = findModulationPoints(view);
  const skipped = [...found.skipped];
  const usable = found.points.filter((point) => {
    if (point.rank !== undefined || opset >= ANY_RANK_OPSET) return true;
    skipped.push({ name: point.name, operator: point.operator, reason: 'its number of axes is not known' });
    return false;
  });
  const names = new UniqueNames(view, usable);
  const named = usable.map((point) => ({ point, name: names.layer(point.name) }));
  const chosen = choose(named, options, skipped);
  const splice = new Splice(view);
  const inputs: Uint8Array[] = [];
  for (const { point, name } of chosen) {
    const pieces = modulation(point, name, names, found.batchSymbol ?? 'N');
    splice.replace(point.node.start, point.node.end, pieces.nodes);
    inputs.push(pieces.inputs);
  }
  // At the graph's end, so that they come after the inputs that it has, wherever those stand.
  splice.insert(view.graphRanges.at(-1)!.end, Buffer.concat(inputs));
  const parameters = chosen.reduce((sum, { point }) => sum + 2 * point.channels, 0);
  return {
    model: splice.finish(),
    layers: chosen.map(({ point: { operator, channels }, name }) => ({
      name,
      operator,
      channels,
      gamma: `${name}.gamma`,
      beta: `${name}.beta`,
    })),
    parameters,
    share: parameters / Math.max(1, countParameters(view)),
    skipped,
  };

  /** The layer's node under another output name, the nodes of its modulation, and their inputs. */
  function modulation(
    point: ModulationPoint,
    name: string,
    unique: UniqueNames,
    batch: string,
  ): { readonly nodes: Uint8Array; readonly inputs: Uint8Array } {
    const output = point.node.outputs[0];
    const plain = unique.tensor(`${output}/plain`);
    const graph = new GraphBuilder(unique.tensor(`${name}/modulation`));
    const target = targetShape(graph, point, plain);
    const operand = (which: string): string => {
      const input = graph.input(`${name}.${which}`, 'float32', [batch, point.channels]);
      const shaped = target === undefined ? input : graph.node('Reshape', [input, target]);
      if (point.elementType === 0 || point.elementType === FLOAT) return shaped;
      return graph.node('Cast', [shaped], { to: { int: point.elementType } });
    };
    const [gamma, beta] = [operand('gamma'), operand('beta')];
    graph.node('Add', [graph.node('Mul', [plain, gamma]), beta], {}, output);
    const layer = renameFirstOutput(bytes, point.node, plain);
    const fields = graph.encode();
    return {
      nodes: Buffer.concat([layer, ...fieldsOf(fields, GRAPH_NODE)]),
      inputs: Buffer.concat([...fieldsOf(fields, GRAPH_INPUT)]),
    };
  }
}

/** The shape that [N, C] gets to line up with a layer's output; undefined where it does as it is. */
function targetShape(
  graph: GraphBuilder,
  { rank, channels, channelsLast }: ModulationPoint,
  plain: string,
): string | undefined {
  if (rank === 2) return undefined;
  const integers = (values: readonly number[]): string =>
    graph.node('Constant', [], {
      value: {
        tensor: { type: 'int64', dims: [values.length], data: BigInt64Array.from(values.map(BigInt)) },
      },
    });
  // 0 keeps the axis as it is: the batch.
  if (rank !== undefined) {
    const ones = Array<number>(rank - 2).fill(1);
    return integers(channelsLast ? [0, ...ones, channels] : [0, channels, ...ones]);
  }
  const count = graph.node('Sub', [graph.node('Shape', [graph.node('Shape', [plain])]), integers([2])]);
  const one = { tensor: { type: 'int64', dims: [1], data: BigInt64Array.of(1n) } } as const;
  const ones = graph.node('ConstantOfShape', [count], { value: one });
  const parts = channelsLast ? [integers([0]), ones, integers([channels])] : [integers([0, channels]), ones];
  return graph.node('Concat', parts, { axis: { int: 0 } });
}

function* fieldsOf(message: Uint8Array, field: number): Generator<Uint8Array> {
  const reader = new WireReader(message);
  while (reader.next()) if (reader.field === field) yield message.subarray(reader.start, reader.end);
}

interface NamedPoint {
  readonly point: ModulationPoint;
  readonly name: string;
}

function choose(
  named: readonly NamedPoint[],
  { layers, kinds }: ModulationOptions,
  skipped: readonly SkippedLayer[],
): readonly NamedPoint[] {
  if (layers !== undefined && typeof layers !== 'function') {
    const known = new Set(named.map(({ name }) => name));
    for (const name of layers) if (!known.has(name)) throw unknownLayer(name, known, skipped);
  }
  const wanted = ({ point, name }: NamedPoint): boolean => {
    if (kinds && !kinds.includes(point.kind)) return false;
    if (layers === undefined) return true;
    return typeof layers === 'function' ? layers(name, point.operator) : layers.includes(name);
  };
  const chosen = named.filter(wanted);
  if (chosen.length > 0) return chosen;
  const why =
    named.length > 0
      ? `None of its ${named.length} layers was chosen: ${list(named.map(({ name }) => name))}.`
      : skipped.length > 0
        ? `Those it has cannot be modulated: ${list(skipped.map(({ name, reason }) => `"${name}" (${reason})`))}.`
        : 'Linear layers, convolutions and normalisations are modulated.';
  throw new BallastError('invalid-model', `The ONNX model has no layer to modulate. ${why}`);
}

function unknownLayer(
  name: string,
  known: ReadonlySet<string>,
  skipped: readonly SkippedLayer[],
): BallastError {
  const refused = skipped.find((layer) => layer.name === name);
  if (refused) {
    return new BallastError(
      'invalid-model',
      `The layer "${name}" (${refused.operator}) cannot be modulated: ${refused.reason}.`,
    );
  }
  const close = closestNames(name, known);
  const hint = close.length > 0 ? ` Did you mean ${list(close.map((other) => `"${other}"`))}?` : '';
  return new BallastError(
    'invalid-model',
    `The ONNX model has no layer "${name}" to modulate.${hint} It has ${list([...known])}.`,
  );
}

/** How many names an error lists. */
const LISTED = 20;

function list(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : '';
  return names.slice(0, LISTED).join(', ') + more;
}
