import { BallastError } from '../../errors.js';
import { DataFlow } from './data-flow.js';
import type { ModelView } from './model-view.js';
import type { NodeView } from './node-view.js';
import type { Scope } from './scope.js';

/** onnxruntime inlines functions and wants them not to call themselves; a deeper chain of calls does. */
const MAX_CALLS = 100;

/** A tensor, by its name in the scope that it lives in. */
export interface TensorRef {
  readonly frame: Frame;
  readonly name: string;
}

/** An operator that makes a tensor, in the scope that it lives in. */
export interface Maker {
  readonly frame: Frame;
  readonly node: NodeView;
  /** Which of the node's outputs it is. */
  readonly index: number;
}

/**
 * A scope as it is run: the graph of a model, or a function as one node calls it. It makes calls of model-local
 * functions transparent, so that a search sees operators alone.
 */
export class Frame {
  /** Tells the frames of a model apart. */
  readonly id: string;
  readonly flow: DataFlow;
  private readonly callees = new Map<NodeView, Frame>();

  private constructor(
    private readonly model: ModelView,
    readonly scope: Scope,
    dataInputs: Iterable<string>,
    private readonly caller?: { readonly frame: Frame; readonly node: NodeView },
    private readonly depth = 0,
  ) {
    if (depth > MAX_CALLS) {
      throw new BallastError(
        'invalid-model',
        `The ONNX model's functions call each other more than ${MAX_CALLS} deep.`,
      );
    }
    this.id = caller ? `${caller.frame.id}/${caller.node.start}` : '';
    this.flow = new DataFlow(scope, dataInputs);
  }

  /** The frame of a model's graph. */
  static ofModel(model: ModelView): Frame {
    return new Frame(model, model.graph, model.graph.inputNames);
  }

  /** Whether tensors here are tensors of the model's graph, which surgery can reach. */
  get isGraph(): boolean {
    return this.caller === undefined;
  }

  /** The operator that makes a tensor of this frame; undefined for what the graph is given: inputs, initialisers. */
  maker(name: string): Maker | undefined {
    const outside = this.lift(name);
    if (outside.frame !== this) return outside.frame.maker(outside.name);
    const producer = this.scope.producer(name);
    if (!producer) return undefined;
    const callee = this.callee(producer.node);
    if (!callee) return { frame: this, ...producer };
    const inner = callee.scope.outputNames.at(producer.index);
    return inner === undefined ? undefined : callee.maker(inner);
  }

  /** The same tensor by the name that it has furthest out: a function's input is a tensor of its caller. */
  lift(name: string): TensorRef {
    const index = this.caller ? this.scope.inputNames.indexOf(name) : -1;
    if (index < 0 || !this.caller) return { frame: this, name };
    return this.caller.frame.lift(this.caller.node.inputs.at(index) ?? '');
  }

  private callee(node: NodeView): Frame | undefined {
    const known = this.callees.get(node);
    if (known) return known;
    const scope = this.model.functionOf(node);
    if (!scope) return undefined;
    const data = scope.inputNames.filter((_, index) => this.flow.isData(node.inputs.at(index) ?? ''));
    const frame = new Frame(this.model, scope, data, { frame: this, node }, this.depth + 1);
    this.callees.set(node, frame);
    return frame;
  }
}
