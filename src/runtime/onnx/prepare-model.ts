import { dirname, resolve } from 'node:path';
import { exposeTensors } from './expose.js';
import { externalDataFiles } from './external-data.js';
import { ModelView } from './model-view.js';
import { readModel } from './read-model.js';

/** What InferenceSession.create needs. */
export interface PreparedModel {
  /** The path, where the file can be loaded as it is; otherwise the changed model. */
  readonly model: string | Uint8Array;
  /** To be merged into the session's options, `extra.session` key by key. */
  readonly sessionOptions: { readonly extra?: { readonly session: Readonly<Record<string, string>> } };
}

/**
 * Reads a model and exposes tensors of it. The file is not changed.
 *
 * A changed model reaches onnxruntime as bytes, and so without a folder to look for external data in; the option
 * `session.model_external_initializers_file_folder_path` names it, and onnxruntime maps the files itself. (The other
 * way, `externalData`, would hold a second copy of the weights in JavaScript.)
 *
 * @param path - the ONNX file
 * @param expose - names of tensors to add as outputs
 * @param modulate - names of layers after which a scale and a shift are inserted
 * @throws BallastError invalid-model where the file cannot be read, is no ONNX model or has no such tensor, or where
 *   its external data is missing or lies out of its folder
 */
export async function prepareModel(
  path: string,
  expose: readonly string[],
  modulate: readonly string[] = [],
): Promise<PreparedModel> {
  const own = await readModel(path);
  const view = new ModelView(own);
  const external = externalDataFiles(view);
  const model =
    modulate.length === 0
      ? exposeTensors(view, expose, { reuse: true })
      : await modulated(own, expose, modulate);
  if (model === own) return { model: path, sessionOptions: {} };
  if (external.length === 0) return { model, sessionOptions: {} };
  const folder = dirname(resolve(path));
  return {
    model,
    sessionOptions: { extra: { session: { model_external_initializers_file_folder_path: folder } } },
  };
}

/** Its modules are loaded here alone: every inference worker loads its own, and few models are modulated. */
async function modulated(
  model: Uint8Array,
  expose: readonly string[],
  layers: readonly string[],
): Promise<Uint8Array> {
  const { insertModulation } = await import('./insert-modulation.js');
  return insertModulation(model, { layers, expose }).model;
}
