import { BatchAxis } from './batch-axis.js';
import { constantType } from './constant-type.js';
import { Frame } from './frame.js';
import type { ModelView } from './model-view.js';
import type { NodeView } from './node-view.js';
import { graphsInside } from './subgraphs.js';
import { Uses } from './uses.js';
import { weightShape } from './weight-shape.js';
import { vectorLength, withAffine, writtenOutNorm, type NodeGroup } from './written-out-norm.js';

/** The layers that modulation goes after. */
export type LayerKind = 'linear' | 'convolution' | 'normalisation';

/** A layer that is left as it is. */
export interface SkippedLayer {
  readonly name: string;
  readonly operator: string;
  /** Why, as a clause. */
  readonly reason: string;
}

/** A layer whose output can be scaled and shifted. */
export interface ModulationPoint {
  /** As the exporter knew it; several points may have one name. */
  readonly name: string;
  readonly kind: LayerKind;
  readonly operator: string;
  /** The node whose first output is the layer's. */
  readonly node: NodeView;
  readonly channels: number;
  /** Whether the channels are the last axis, or the second. */
  readonly channelsLast: boolean;
  /** How many axes the output has; undefined where only the running model knows. */
  readonly rank: number | undefined;
  /** TensorProto.DataType of the output; 0 where the file does not say. */
  readonly elementType: number;
}

/** What was found in a model. */
export interface ModulationPoints {
  readonly points: readonly ModulationPoint[];
  readonly skipped: readonly SkippedLayer[];
  /** The name of the inputs' batch axis; undefined where it is fixed. */
  readonly batchSymbol: string | undefined;
}

const KINDS: ReadonlyMap<string, LayerKind> = new Map([
  ['Gemm', 'linear'],
  ['MatMul', 'linear'],
  ['FusedMatMul', 'linear'],
  ['Conv', 'convolution'],
  ['ConvTranspose', 'convolution'],
  ['BatchNormalization', 'normalisation'],
  ['InstanceNormalization', 'normalisation'],
  ['GroupNormalization', 'normalisation'],
  ['LayerNormalization', 'normalisation'],
  ['SkipLayerNormalization', 'normalisation'],
  ['SimplifiedLayerNormalization', 'normalisation'],
  ['SkipSimplifiedLayerNormalization', 'normalisation'],
  ['RMSNormalization', 'normalisation'],
]);

/** Layers that are known, and not modulated. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ...['FusedConv', 'FusedGemm', 'NhwcFusedConv'].map((op) => [op, 'an activation is fused into it'] as const),
  ...(
    'QLinearConv ConvInteger QGemm QLinearMatMul MatMulInteger MatMulIntegerToFloat DynamicQuantizeMatMul MatMulNBits ' +
    'MatMulBnb4 GemmFloat8'
  )
    .split(' ')
    .map((op) => [op, 'it is quantised'] as const),
]);

/** Where the skip connection's normalisations have their scale. */
const SKIP_SCALE = 2;

interface Layer extends NodeGroup {
  readonly kind: LayerKind;
  readonly operator: string;
  /** The node that names it. */
  readonly first: NodeView;
  readonly channels: number | undefined;
  readonly channelsLast: boolean;
  readonly rank?: number;
}

/**
 * Finds the linear, convolution and normalisation layers of a model that work on what a request sends.
 * @throws BallastError invalid-model where a graph inside a node is damaged
 */
export function findModulationPoints(model: ModelView): ModulationPoints {
  const axes = new BatchAxis(model);
  const frame = Frame.ofModel(model);
  const uses = new Uses(model.graph);
  const points: ModulationPoint[] = [];
  const skipped: SkippedLayer[] = [];
  for (const node of model.graph.nodes) {
    for (const inner of graphsInside(node)) {
      for (const nested of inner.nodes) report(nested, `it is inside the node ${node.label}`);
    }
    if (model.functionOf(node)) continue;
    const found = REFUSED.get(node.opType) ?? readLayer(node, frame, uses);
    if (found === undefined || !frame.flow.isData(node.outputs[0])) continue;
    const reason = typeof found === 'string' ? found : obstacle(found);
    if (typeof found === 'string' || reason !== undefined) {
      skipped.push({ name: nameOf(found, node, frame), operator: node.opType, reason: String(reason) });
    } else points.push(pointOf(found));
  }
  for (const view of model.functionViews) {
    for (const node of view.nodes) report(node, `it is inside the model-local function "${view.name}"`);
  }
  return { points, skipped, batchSymbol: axes.symbol };

  function report(node: NodeView, reason: string): void {
    if (!KINDS.has(node.opType) && !REFUSED.has(node.opType)) return;
    skipped.push({ name: node.name || node.outputs[0], operator: node.opType, reason });
  }

  function obstacle({ last, channels, channelsLast }: Layer): string | undefined {
    const shape = axes.shape(last.outputs[0]);
    if (shape && shape.length < 2) return 'its output has no axis of channels next to the batch';
    if (shape && shape[0] !== 'batch') {
      const at = shape.indexOf('batch');
      if (at > 0) return `the batch is axis ${at} of its output, not the first`;
      if (shape[0] === 'merged') return 'the batch is merged with another axis in its output';
      if (shape[0] !== undefined) return 'the first axis of its output is not the batch';
    }
    const known = channels ?? shape?.at(channelsLast ? -1 : 1);
    return typeof known === 'number' && known > 0
      ? undefined
      : 'the file does not say how many channels it has';
  }

  function pointOf(layer: Layer): ModulationPoint {
    const { kind, operator, last, weight, channelsLast } = layer;
    const shape = axes.shape(last.outputs[0]);
    const declared = model.graph.values.get(last.outputs[0])?.elementType ?? 0;
    return {
      name: nameOf(layer, layer.first, frame),
      kind,
      operator,
      node: last,
      channels: layer.channels ?? Number(shape?.at(channelsLast ? -1 : 1)),
      channelsLast,
      rank: shape?.length ?? layer.rank,
      elementType: declared || (weight === undefined ? 0 : constantType(frame, weight)),
    };
  }
}

/** Reads a node as the first of a layer; a text says why it is one that cannot be modulated. */
function readLayer(node: NodeView, frame: Frame, uses: Uses): Layer | string | undefined {
  const kind = KINDS.get(node.opType);
  const base = { operator: node.opType, first: node };
  if (kind === undefined) {
    const group = writtenOutNorm(node, frame, uses);
    if (!group) return undefined;
    const channels = vectorLength(frame, group.weight);
    return {
      ...base,
      ...group,
      kind: 'normalisation',
      operator: 'LayerNormalization',
      channels,
      channelsLast: true,
    };
  }
  if (kind === 'normalisation') return normalisation(node, frame, uses);
  const [data, weight] = node.inputs;
  if (!frame.flow.isData(data))
    return frame.flow.isData(weight) ? 'its data is on the right of its weight' : undefined;
  if (frame.flow.isData(weight)) return undefined;
  if (node.integer('transA', 0) === 1) return 'its data is transposed';
  const dims = weightShape(frame, weight);
  const layer = { ...base, kind, last: node, weight, bias: node.inputs.at(2) };
  if (kind === 'convolution') {
    const transposed = node.opType === 'ConvTranspose';
    const channels = transposed ? (dims?.[1] ?? 0) * node.integer('group', 1) : dims?.[0];
    return { ...layer, channels, channelsLast: false, ...(dims && { rank: dims.length }) };
  }
  const channels = dims && dims[node.integer('transB', 0) === 1 ? dims.length - 2 : dims.length - 1];
  if (node.opType === 'Gemm') return { ...layer, channels, channelsLast: true, rank: 2 };
  if (dims && dims.length !== 2) return 'its weight is no matrix';
  const bias = uses.constantOperand(node.outputs[0], 'Add', frame);
  const isBias = bias && channels !== undefined && vectorLength(frame, bias.operand) === channels;
  return { ...layer, channels, channelsLast: true, ...(isBias && { last: bias.node, bias: bias.operand }) };
}

function normalisation(node: NodeView, frame: Frame, uses: Uses): Layer | string {
  const scale = node.inputs.at(node.opType.startsWith('Skip') ? SKIP_SCALE : 1);
  const dims = scale === undefined ? undefined : weightShape(frame, scale);
  const last = node.opType.endsWith('LayerNormalization') || node.opType.startsWith('RMS');
  const layer = { operator: node.opType, first: node, kind: 'normalisation' as const, channelsLast: last };
  if (last && dims && dims.length > 1) return 'it normalises several axes at once';
  if (node.opType === 'InstanceNormalization') {
    // PyTorch writes a group normalisation as one of instances, between two Reshapes.
    const folding = frame.scope.producer(node.inputs[0])?.node.opType === 'Reshape';
    const unfolding = uses.only(node.outputs[0]);
    if (folding && unfolding?.opType === 'Reshape') {
      const group = withAffine(unfolding, frame, uses);
      return {
        ...layer,
        ...group,
        operator: 'GroupNormalization',
        channels: vectorLength(frame, group.weight),
      };
    }
  }
  return { ...layer, last: node, weight: scale, bias: node.inputs.at(2), channels: dims?.[0] };
}

/** What the exporter called a layer: as its weight, its bias, its node or its output are called. */
function nameOf(layer: Layer | string, node: NodeView, frame: Frame): string {
  const [weight, bias] = typeof layer === 'string' ? [node.inputs.at(1)] : [layer.weight, layer.bias];
  const stem = (name: string | undefined, end: string): string | undefined =>
    name?.endsWith(end) === true && name.length > end.length ? name.slice(0, -end.length) : undefined;
  for (let name = weight; name !== undefined; name = frame.scope.producer(name)?.node.inputs.at(0)) {
    const found = stem(name, '.weight');
    if (found !== undefined) return found;
    if (frame.flow.isData(name)) break;
  }
  return stem(bias, '.bias') ?? (node.name || node.outputs[0]);
}
