import { BallastError } from '../../errors.js';
import { FunctionView, functionKey } from './function-view.js';
import { GraphView } from './graph-view.js';
import type { NodeView } from './node-view.js';
import { explainForeignFile } from './foreign-file.js';
import { WireReader } from './wire-reader.js';

/** Where a piece of the GraphProto lies in the file: its tag, its own bytes. */
export interface GraphRange {
  readonly start: number;
  readonly from: number;
  readonly end: number;
}

/** An ONNX file, read as far as its structure goes: weights are stepped over, unknown fields are left alone. */
export class ModelView {
  readonly irVersion: number = 0;
  readonly producer: string;
  /** Version of the operator set, by domain ('' for ONNX itself). */
  readonly opsets = new Map<string, number>();
  readonly graph = new GraphView();
  readonly graphRanges: GraphRange[] = [];
  private readonly functions = new Map<string, FunctionView>();

  /**
   * @param bytes - the file
   * @throws BallastError invalid-model where it is no ONNX model, with what it seems to be instead
   */
  constructor(readonly bytes: Uint8Array) {
    let producerName = '';
    let producerVersion = '';
    try {
      const model = new WireReader(bytes);
      while (model.next()) {
        if (model.field === 1) this.irVersion = model.integer();
        else if (model.field === 2) producerName = model.text();
        else if (model.field === 3) producerVersion = model.text();
        else if (model.field === 7) this.readGraph(model);
        else if (model.field === 8) this.readOpset(model.message());
        else if (model.field === 25) this.readFunction(model.message());
      }
      this.check();
    } catch (error) {
      throw explainForeignFile(bytes, error);
    }
    this.producer = `${producerName} ${producerVersion}`.trim();
  }

  /** The functions of the model. */
  get functionViews(): Iterable<FunctionView> {
    return this.functions.values();
  }

  /** The model-local function that a node calls; undefined where it is an operator. */
  functionOf(node: NodeView): FunctionView | undefined {
    return this.functions.get(functionKey(node.domain, node.opType, node.overload));
  }

  private readGraph(model: WireReader): void {
    this.graphRanges.push({ start: model.start, from: model.from, end: model.end });
    this.graph.read(model.message());
  }

  private readOpset(opset: WireReader): void {
    let domain = '';
    let version = 0;
    while (opset.next()) {
      if (opset.field === 1) domain = opset.text();
      else if (opset.field === 2) version = opset.integer();
    }
    this.opsets.set(domain === 'ai.onnx' ? '' : domain, version);
  }

  private readFunction(reader: WireReader): void {
    const view = new FunctionView(reader);
    this.functions.set(view.key, view);
  }

  private check(): void {
    if (this.graphRanges.length === 0 || this.irVersion === 0) {
      throw new BallastError(
        'invalid-model',
        'This is not an ONNX model: it holds no graph and no version of the format.',
      );
    }
    if (this.irVersion >= 3 && this.opsets.size === 0) {
      throw new BallastError(
        'invalid-model',
        'The ONNX model names no operator set. The file was probably cut off while it was copied; get it again.',
      );
    }
    if (this.graph.outputs.length === 0) {
      throw new BallastError('invalid-model', 'The ONNX model has no outputs, so there is nothing to serve.');
    }
  }
}
