import { posix } from 'node:path';
import { BallastError } from '../../errors.js';
import { ModelView } from './model-view.js';
import type { Scope } from './scope.js';
import { graphsInside } from './subgraphs.js';
import { readSparseHeader, readTensorHeader } from './tensor-header.js';

/**
 * The files beside the model that hold its weights, as models over 2 GB have them.
 * @param model - the model's bytes, or what was read of them
 * @returns file names relative to the model's folder, each once, with `/` between folders
 * @throws BallastError invalid-model where the bytes are no ONNX model, or a name leads out of the model's folder
 */
export function externalDataFiles(model: Uint8Array | ModelView): string[] {
  const view = model instanceof ModelView ? model : new ModelView(model);
  const locations = new Set<string>();
  for (const scope of [view.graph, ...view.functionViews]) {
    for (const location of locationsIn(scope)) locations.add(checkedLocation(location));
  }
  return [...locations];
}

function* locationsIn(scope: Scope): Generator<string> {
  yield* locationsAt(scope);
  for (const node of scope.nodes) for (const graph of graphsInside(node)) yield* locationsAt(graph);
}

function* locationsAt(scope: Scope): Generator<string> {
  for (const { location } of scope.initializers.values()) if (location !== undefined) yield location;
  for (const node of scope.nodes) {
    for (const { sparse, reader } of node.tensors()) {
      const { location } = sparse ? readSparseHeader(reader) : readTensorHeader(reader);
      if (location !== undefined) yield location;
    }
  }
}

/** A model from a stranger must not make the server read files elsewhere, so the path must stay in its folder. */
function checkedLocation(location: string): string {
  const path = posix.normalize(location);
  // onnxruntime takes a name that begins like this as an address in memory.
  const address = location.startsWith('*/_ORT');
  const absolute = /^([/\\]|[A-Za-z]:)/.test(location);
  if (address || absolute || path === '.' || path.split(/[/\\]/).includes('..') || location.includes('\0')) {
    throw new BallastError(
      'invalid-model',
      `The ONNX model keeps weights in "${location}", which is no file in the model's own folder. ` +
        'Save it again with its external data beside it (onnx.save_model with save_as_external_data=True).',
    );
  }
  return path;
}
