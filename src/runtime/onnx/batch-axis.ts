import { Frame } from './frame.js';
import type { ModelView } from './model-view.js';
import type { NodeView } from './node-view.js';
import {
  arithmetic,
  broadcast,
  channelsOf,
  concat,
  flatten,
  forget,
  gather,
  product,
  reshape,
  spatial,
  unsqueeze,
  without,
  type Shape,
} from './shape-rules.js';
import { constantIntegers, declaredShape, storedIntegers } from './small-integers.js';
import { weightShape } from './weight-shape.js';

/** Operators whose output has the shape of their first input. */
const SAME_SHAPE: ReadonlySet<string> = new Set(
  (
    'Identity Cast Dropout Relu LeakyRelu PRelu Elu Celu Selu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Mish ' +
    'Gelu FastGelu QuickGelu BiasGelu Erf Exp Log Sqrt Abs Neg Reciprocal Ceil Floor Round Sin Cos Not Clip Softmax ' +
    'LogSoftmax LpNormalization LRN BatchNormalization InstanceNormalization GroupNormalization LayerNormalization ' +
    'SimplifiedLayerNormalization RMSNormalization SkipLayerNormalization QuantizeLinear DequantizeLinear CumSum'
  ).split(' '),
);

/** Operators whose inputs are broadcast to one shape. */
const BROADCAST: ReadonlySet<string> = new Set(
  'Add Sub Mul Div Pow Mod Where Min Max Sum Mean And Or Xor Equal Less LessOrEqual Greater GreaterOrEqual'.split(
    ' ',
  ),
);

/**
 * Where the batch lies in the tensors of a model's graph, and how many axes they have, as far as the file tells: from
 * what it declares of its tensors, and from a walk over those operators that move axes about.
 */
export class BatchAxis {
  /** The name that the model's inputs have for their batch axis; undefined where it is fixed. */
  readonly symbol: string | undefined;
  private readonly shapes = new Map<string, Shape | undefined>();
  private readonly frame: Frame;
  /** Small whole numbers, by tensor: shapes, axes, indices. */
  private readonly numbers: Map<string, Shape>;
  private readonly otherSymbols = new Set<string>();
  private readonly batch: number | undefined;

  constructor(private readonly model: ModelView) {
    this.frame = Frame.ofModel(model);
    this.numbers = storedIntegers(model);
    const inputs = model.graph.fedInputs.map((value) => ({
      value,
      dims: declaredShape(model.bytes, value) ?? [],
    }));
    const leading = inputs.map(({ dims }) => dims.at(0)).filter((dim) => typeof dim === 'string');
    const uses = (symbol: string): number => inputs.filter(({ dims }) => dims.includes(symbol)).length;
    this.symbol = leading.toSorted((a, b) => uses(b) - uses(a)).at(0);
    const fixed = inputs.map(({ dims }) => dims.at(0)).find((dim) => typeof dim === 'number');
    this.batch = this.symbol === undefined ? fixed : undefined;
    for (const { value, dims } of inputs) this.shapes.set(value.name, this.inputShape(dims));
    for (const { dims } of inputs)
      for (const dim of dims.slice(1)) {
        if (typeof dim === 'string' && dim !== this.symbol) this.otherSymbols.add(dim);
      }
    for (const node of model.graph.nodes) this.walk(node);
  }

  /** The axes of a tensor of the graph; undefined where not even their number is known. */
  shape(name: string): Shape | undefined {
    const known = this.shapes.get(name);
    if (known || this.shapes.has(name)) return known;
    const value = this.model.graph.values.get(name);
    return value?.dims ? this.merge(name, undefined) : weightShape(this.frame, name);
  }

  private inputShape(dims: readonly (number | string | undefined)[]): Shape | undefined {
    if (dims.length === 0) return undefined;
    const at = Math.max(0, this.symbol === undefined ? 0 : dims.indexOf(this.symbol));
    return dims.map((dim, axis) => {
      // A number where other inputs have a name is no batch.
      if (axis === at && (typeof dim !== 'number' || this.symbol === undefined)) return 'batch';
      return typeof dim === 'number' ? dim : undefined;
    });
  }

  private walk(node: NodeView): void {
    const integers = this.integersOf(node);
    if (integers && node.outputs[0]) this.numbers.set(node.outputs[0], integers);
    // What stands for itself: its shape is read where it is asked for.
    if (node.opType === 'Constant') return;
    const shapes = this.outputShapes(node);
    node.outputs.forEach((name, index) => {
      if (name !== '') this.shapes.set(name, this.merge(name, shapes.at(shapes.length === 1 ? 0 : index)));
    });
  }

  /** What was reasoned, corrected by what the file declares. */
  private merge(name: string, reasoned: Shape | undefined): Shape | undefined {
    const value = this.model.graph.values.get(name);
    const declared = value && declaredShape(this.model.bytes, value);
    if (!declared) return reasoned;
    const word = this.symbol === undefined ? undefined : wordPattern(this.symbol);
    return declared.map((dim, axis) => {
      const known = reasoned?.length === declared.length ? reasoned[axis] : undefined;
      if (typeof dim === 'number') return known === 'batch' && dim === this.batch ? known : dim;
      if (dim === undefined) return known;
      if (dim === this.symbol) return 'batch';
      if (word?.test(dim) === true && /[*/]/.test(dim)) return 'merged';
      // Any size but the batch's own: known to the walk to be something else.
      return known ?? (this.otherSymbols.has(dim) ? -1 : undefined);
    });
  }

  private outputShapes(node: NodeView): readonly (Shape | undefined)[] {
    const of = (index: number): Shape | undefined => this.shape(node.inputs.at(index) ?? '');
    const first = of(0);
    const op = node.opType;
    if (SAME_SHAPE.has(op)) return [first];
    if (BROADCAST.has(op)) return [broadcast(node.inputs.map((_, index) => of(index)))];
    switch (op) {
      case 'Conv':
      case 'FusedConv':
        return [
          spatial(first ?? of(1)?.map(() => undefined), channelsOf(node, of(1)), node, of(1)?.slice(2)),
        ];
      case 'ConvTranspose':
        return [spatial(first ?? of(1)?.map(() => undefined), channelsOf(node, of(1)), node, undefined)];
      case 'MaxPool':
      case 'AveragePool':
        return [spatial(first, first?.[1], node, node.integers('kernel_shape'))];
      case 'Resize':
      case 'Upsample':
      case 'Pad':
        return [spatial(first, first?.[1], node, undefined)];
      case 'GlobalAveragePool':
      case 'GlobalMaxPool':
        return [first?.map((size, axis) => (axis < 2 ? size : 1))];
      case 'Gemm':
        return [
          [
            node.integer('transA', 0) === 1 ? first?.[1] : first?.[0],
            of(1)?.[node.integer('transB', 0) === 1 ? 0 : 1],
          ],
        ];
      case 'MatMul':
        return [product(first, of(1))];
      case 'Transpose':
        return [first && (node.integers('perm') ?? [...first.keys()].reverse()).map((axis) => first[axis])];
      case 'Flatten':
        return [flatten(first, node.integer('axis', 1))];
      case 'Reshape':
        return [
          reshape(first, this.numbers.get(node.inputs.at(1) ?? ''), node.integer('allowzero', 0) === 1),
        ];
      case 'Expand': {
        const target = this.numbers.get(node.inputs.at(1) ?? '');
        return [target && broadcast([first, target])];
      }
      case 'Unsqueeze':
        return [unsqueeze(first, this.axes(node))];
      case 'Squeeze':
        return [this.drop(first, node, this.axes(node))];
      case 'ReduceMean':
      case 'ReduceMax':
      case 'ReduceMin':
      case 'ReduceSum':
      case 'ReduceL2':
        return [this.reduce(first, node)];
      case 'Gather':
        return [
          gather(
            first,
            of(1) ?? (this.numbers.has(node.inputs[1]) ? [] : undefined),
            node.integer('axis', 0),
          ),
        ];
      case 'ArgMax':
        return [node.integer('keepdims', 1) === 0 ? without(first, [node.integer('axis', 0)]) : first];
      case 'Concat':
        return [
          concat(
            node.inputs.map((_, index) => of(index)),
            node.integer('axis', 0),
          ),
        ];
      case 'Split':
        return node.outputs.map(() => forget(first, [node.integer('axis', 0)]));
      case 'Slice': {
        const axes =
          node.integers('axes') ?? this.constant(node.inputs.at(3)) ?? first?.map((_, axis) => axis);
        return [forget(first, axes ?? [])];
      }
      default:
        return [undefined];
    }
  }

  private axes(node: NodeView): readonly number[] | undefined {
    return node.integers('axes') ?? this.constant(node.inputs.at(1));
  }

  private constant(name: string | undefined): readonly number[] | undefined {
    const list = name === undefined ? undefined : this.numbers.get(name);
    return list?.every((value) => typeof value === 'number') ? list : undefined;
  }

  private drop(
    shape: Shape | undefined,
    node: NodeView,
    axes: readonly number[] | undefined,
  ): Shape | undefined {
    if (node.inputs.length < 2 && !axes) return undefined;
    return axes && without(shape, axes);
  }

  private reduce(shape: Shape | undefined, node: NodeView): Shape | undefined {
    const axes = this.axes(node);
    if (!shape || (!axes && (node.inputs.at(1) ?? '') !== '')) return undefined;
    const all = axes ?? [...shape.keys()];
    if (node.integer('keepdims', 1) === 0) return without(shape, all);
    return shape.map((size, axis) => (all.includes(axis) || all.includes(axis - shape.length) ? 1 : size));
  }

  /** The values of a tensor of whole numbers that a node computes from a shape. */
  private integersOf(node: NodeView): Shape | undefined {
    const of = (index: number): Shape | undefined => this.numbers.get(node.inputs.at(index) ?? '');
    switch (node.opType) {
      case 'Shape':
        return this.shape(node.inputs[0])?.slice(
          node.integer('start', 0),
          node.integer('end', Number.MAX_SAFE_INTEGER),
        );
      case 'Constant':
        return constantIntegers(node);
      case 'Identity':
      case 'Cast':
      case 'Unsqueeze':
      case 'Squeeze':
      case 'Reshape':
        return of(0);
      case 'Concat': {
        // Of a part that is not known, the length is where it was a single number.
        const one = (name: string): boolean => this.frame.scope.producer(name)?.node.opType === 'Unsqueeze';
        const parts = node.inputs.map((name, index) => of(index) ?? (one(name) ? [undefined] : undefined));
        return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
      }
      case 'Gather': {
        const at = this.constant(node.inputs[1])?.[0];
        const list = of(0);
        return list && at !== undefined ? [list.at(at)] : undefined;
      }
      case 'Slice': {
        const [from, to] = [this.constant(node.inputs.at(1)), this.constant(node.inputs.at(2))];
        return from && to && (this.constant(node.inputs.at(4))?.[0] ?? 1) === 1
          ? of(0)?.slice(from[0], to[0])
          : undefined;
      }
      case 'Where':
        // Exporters replace a -1 of Expand by 1 in this way.
        return of(2)?.map((size) => (size === -1 ? 1 : size));
      case 'Mul':
      case 'Div':
        return arithmetic(node.opType, of(0), of(1));
      default:
        return undefined;
    }
  }
}

function wordPattern(symbol: string): RegExp {
  return new RegExp(`(^|\\W)${symbol.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(\\W|$)`);
}
