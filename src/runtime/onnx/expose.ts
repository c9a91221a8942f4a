import protobuf from 'protobufjs/minimal.js';
import { BallastError } from '../../errors.js';
import { closestNames } from './closest-names.js';
import { GRAPH_OUTPUT } from './graph-view.js';
import { ModelView } from './model-view.js';
import { Splice } from './splice.js';
import { graphsInside } from './subgraphs.js';

/**
 * Makes tensors inside a model outputs of it, after those it has. Weights and unknown fields keep their bytes.
 *
 * An output is declared with the type that the model gives the tensor; where it gives none, the output has no type
 * either, and onnxruntime infers it, float16 included (a guessed type would make it refuse the model).
 *
 * @param model - an ONNX model, or what was read of it; it is not changed unless `reuse` says so
 * @param names - tensors of the graph; those that are outputs already stay as they are
 * @param options - `reuse`: write into the model's own buffer where it has room on both sides, see Splice
 * @returns the new model: the same bytes where there was nothing to do
 * @throws BallastError invalid-model where it is no ONNX model, or has no such tensor in its graph
 */
export function exposeTensors(
  model: Uint8Array | ModelView,
  names: readonly string[],
  options: { reuse?: boolean } = {},
): Uint8Array {
  const view = model instanceof ModelView ? model : new ModelView(model);
  const fields = exposedOutputs(view, names);
  if (fields.size === 0) return view.bytes;
  const splice = new Splice(view);
  for (const field of fields.values()) splice.insert(view.graph.outputsEnd, field);
  return splice.finish(options.reuse);
}

/**
 * Declares tensors as outputs, without those that are outputs already.
 * @returns by name, the field of GraphProto to add
 * @throws BallastError as exposeTensors
 */
export function exposedOutputs(view: ModelView, names: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const { graph } = view;
  const wanted = new Set(names.filter((name) => !graph.outputNames.includes(name)));
  const known = wanted.size > 0 ? graph.names() : new Set<string>();
  const fields = new Map<string, Uint8Array>();
  for (const name of wanted) {
    if (!known.has(name)) throw unknownTensor(view, name, known);
    fields.set(name, outputField(view, name));
  }
  return fields;
}

function outputField(view: ModelView, name: string): Uint8Array {
  const type = view.graph.values.get(name)?.type;
  const value = protobuf.Writer.create().uint32(tag(1)).string(name);
  if (type) value.uint32(tag(2)).bytes(view.bytes.subarray(type.from, type.end));
  return protobuf.Writer.create().uint32(tag(GRAPH_OUTPUT)).bytes(value.finish()).finish();
}

/** The tag of a length-delimited field. */
function tag(field: number): number {
  return (field << 3) | 2;
}

function unknownTensor(view: ModelView, name: string, known: ReadonlySet<string>): BallastError {
  const place = hidingPlace(view, name);
  if (place !== undefined) {
    return new BallastError(
      'invalid-model',
      `The tensor "${name}" is inside ${place}, where it cannot be made an output. Name a tensor of the graph itself, ` +
        'or inline the functions first (onnx.inliner.inline_local_functions).',
    );
  }
  const candidates = closestNames(name, known).map((candidate) => `"${candidate}"`);
  const hint = candidates.length > 0 ? ` Did you mean ${candidates.join(', ')}?` : '';
  return new BallastError('invalid-model', `The ONNX model has no tensor called "${name}".${hint}`);
}

function hidingPlace(view: ModelView, name: string): string | undefined {
  for (const scope of view.functionViews) {
    if (scope.names().has(name)) return `the model-local function "${scope.name}"`;
  }
  for (const node of view.graph.nodes) {
    for (const inner of graphsInside(node)) if (inner.names().has(name)) return `the node ${node.label}`;
  }
  return undefined;
}
