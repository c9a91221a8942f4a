import type { Frame, Maker, TensorRef } from './frame.js';
import { linearLayer, type LinearLayer } from './linear-layer.js';

/** What turns logits into probabilities. */
const ACTIVATIONS: ReadonlySet<string> = new Set(['Softmax', 'LogSoftmax', 'Sigmoid']);

/** Operators that pass a tensor on as it is. */
const NO_OPS = ['Identity', 'Dropout', 'Cast'];

/** Operators that keep every number and change the shape at most. */
const VIEWS: ReadonlySet<string> = new Set([...NO_OPS, 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Operators that may stand between the last layer and the logits, one number in, one number out. */
const ELEMENTWISE: ReadonlySet<string> = new Set([
  ...NO_OPS,
  ...['Add', 'Sub', 'Mul', 'Div', 'Neg', 'BiasAdd', 'QLinearAdd', 'QLinearMul'],
  ...['Clip', 'Min', 'Max', 'Relu', 'LeakyRelu', 'Tanh', 'Where', 'BatchNormalization'],
  ...['QuantizeLinear', 'DequantizeLinear'],
]);

/** Operators that pick some of the numbers, or move them. */
const PICKS: ReadonlySet<string> = new Set(['Slice', 'Gather', 'Split', 'Transpose']);

/** Operators that average (or take the largest) over space, as networks do that end in a convolution. */
const POOLS: ReadonlySet<string> = new Set([
  ...['GlobalAveragePool', 'AveragePool', 'ReduceMean', 'GlobalMaxPool', 'MaxPool', 'ReduceMax'],
  ...['QLinearGlobalAveragePool', 'QLinearAveragePool', 'QLinearReduceMean'],
]);

/** The last layer of a classifier. */
export interface Head extends LinearLayer {
  /** Whether only operators one number in, one number out lie behind it, so that logits and layer share a shape. */
  readonly direct: boolean;
}

/** Where an output's logits are. */
export interface Logits {
  /** The last tensor that the graph knows by name before the activation; undefined where a function hides it. */
  readonly name?: string;
  readonly activation?: string;
}

/**
 * Finds the logits behind an output: what goes into its softmax or sigmoid, or the output itself.
 * @param frame - the model's graph
 * @param output - name of the output
 */
export function findLogits(frame: Frame, output: string): Logits {
  let at: TensorRef = { frame, name: output };
  let logits = output;
  for (const seen = new Set<Maker['node']>(); ;) {
    const maker = at.frame.maker(at.name);
    if (!maker || seen.has(maker.node) || maker.node.inputs.length === 0) return { name: logits };
    seen.add(maker.node);
    const { opType, inputs } = maker.node;
    at = maker.frame.lift(inputs[0]);
    if (ACTIVATIONS.has(opType)) return { ...(at.frame.isGraph && { name: at.name }), activation: opType };
    if (opType === 'ArgMax' || opType === 'TopK') {
      // The output is an index; the scores that it was chosen by lie behind.
      if (at.frame.isGraph) logits = at.name;
    } else if (!VIEWS.has(opType)) return { name: logits };
  }
}

/**
 * Walks back from the logits to the layer that makes them.
 * @param frame - the model's graph
 * @param logits - name of the logits tensor
 * @returns the layers found: none, one, or several where the logits add up several heads
 */
export function findHeads(frame: Frame, logits: string): Head[] {
  const heads: Head[] = [];
  const seen = new Set<string>();
  const todo: Step[] = [{ frame, name: logits, direct: true, pooled: false }];
  for (let at = todo.pop(); at; at = todo.pop()) {
    const maker = at.frame.maker(at.name);
    if (!maker) continue;
    // A function that is called twice has the same nodes twice, with different data.
    const key = `${maker.frame.id}:${maker.node.start}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const layer = linearLayer(maker);
    if (layer) heads.push({ ...layer, direct: at.direct });
    else todo.push(...stepsBehind(maker, at));
  }
  return heads;
}

/** A tensor on the way back from the logits, and what lies between. */
interface Step extends TensorRef {
  readonly direct: boolean;
  readonly pooled: boolean;
}

/** The tensors to look at behind an operator; none where no head can be behind it. Last comes what goes first. */
function stepsBehind({ frame, node }: Maker, { direct, pooled }: Step): Step[] {
  const { opType } = node;
  const pool = POOLS.has(opType);
  const keepsShape = ELEMENTWISE.has(opType);
  if (!pool && !keepsShape && !VIEWS.has(opType) && !PICKS.has(opType)) return [];
  const data = node.inputs.filter((input) => frame.flow.isData(input));
  // A sum of two branches before a pool is a residual block: the network has no head of its own.
  if (pooled && data.length > 1) return [];
  return data
    .reverse()
    .map((name) => ({ frame, name, direct: direct && keepsShape, pooled: pooled || pool }));
}
