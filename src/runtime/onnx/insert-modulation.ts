import { BallastError } from '../../errors.js';
import { chooseLayers, type LayerChoice, type NamedPoint } from './choose-layers.js';
import { exposedOutputs } from './expose.js';
import { GraphBuilder } from './graph-builder.js';
import { fieldsOf } from './graph-fields.js';
import { identityCondition, type ScaleAndShift } from './identity-condition.js';
import { countParameters } from './inspect.js';
import { ModelView } from './model-view.js';
import { modulateLayer } from './modulate-layer.js';
import { findModulationPoints, type SkippedLayer } from './modulation-points.js';
import { plainOrModulated } from './plain-or-modulated.js';
import { UniqueNames } from './unique-names.js';

/** Which layers to modulate, all of them where nothing is said; and what else to put out. */
export interface ModulationOptions extends LayerChoice {
  /** Tensors to make outputs, after those that the network has: see exposeTensors. They come out modulated. */
  readonly expose?: readonly string[];
}

/** A layer whose output is scaled and shifted. */
export interface ModulatedLayer extends ScaleAndShift {
  readonly name: string;
  readonly operator: string;
  readonly channels: number;
  /** The inputs [N, channels], float32, that scale and shift. */
  readonly gamma: string;
  readonly beta: string;
}

/** What modulation adds to a network. */
export interface Modulation {
  readonly layers: readonly ModulatedLayer[];
  /** Numbers in one set of scales and shifts. */
  readonly parameters: number;
  /** `parameters` as a share of the network's own. */
  readonly share: number;
  /** Layers that cannot be modulated, and why. */
  readonly skipped: readonly SkippedLayer[];
}

/** A network with its modulation. */
export interface ModulatedModel extends Modulation {
  readonly model: Uint8Array;
}

/** Operators broadcast by themselves since this operator set. */
const OLDEST_OPSET = 7;
/** ConstantOfShape, with which a shape of unknown rank is made, came with this one. */
const ANY_RANK_OPSET = 9;

/**
 * Puts `y = gamma * h + beta` after the linear, convolution and normalisation layers of a network, a scale and a
 * shift for each channel and sample. Both are new inputs, `<layer>.gamma` and `<layer>.beta` [N, C], float32, after
 * those that the network has.
 *
 * Where every gamma of a batch is 1 and every beta 0, of either sign, the network runs as it is: on the CPU its
 * outputs have the bits of the plain network's at every level of onnxruntime's optimisation, and they cost what those
 * cost. Otherwise the whole batch runs through the modulated network, whose layers onnxruntime cannot merge in the
 * same way; there samples with gamma 1 and beta 0 can differ from the plain network's in the last bits.
 *
 * So the model holds the network twice, and runs one of the two: see plainOrModulated. Its weights are in it once (but
 * for small ones, and types that ONNX has no constants of, which are there twice), or stay in their files. In memory
 * onnxruntime keeps a copy of them for either network, and one more of those that were in the model. It finds files
 * by the model's folder, which a model from memory has to name
 * (`session.model_external_initializers_file_folder_path`); `externalData` does not reach into the networks.
 *
 * @throws BallastError invalid-model where it is no ONNX model, nothing in it can be modulated, it has no layer of a
 *   name asked for or no tensor to expose, or the new model would be larger than an ONNX file can be
 */
export function insertModulation(bytes: Uint8Array, options: ModulationOptions = {}): ModulatedModel {
  const plan = planModulation(bytes, options);
  const { view, names, chosen, modulation } = plan;
  const exposed = exposedOutputs(view, options.expose ?? []);
  const layers = new Map<number, Uint8Array>();
  const inputs: Uint8Array[] = [];
  for (const { point, name } of chosen) {
    const fields = modulateLayer(bytes, point, name, names, plan.batch);
    layers.set(point.node.start, fields.nodes);
    inputs.push(fields.inputs);
  }
  const graph = new GraphBuilder(names.tensor('modulation'));
  const identity = identityCondition(graph, modulation.layers);
  const { nodes: condition } = fieldsOf(graph);
  const modulated = { layers, inputs: Buffer.concat(inputs), condition, identity, exposed };
  return { model: plainOrModulated(view, modulated, names), ...modulation };
}

/**
 * What insertModulation would change, without making the model.
 * @throws BallastError invalid-model as insertModulation, but for what is to be exposed and for the size
 */
export function inspectModulation(bytes: Uint8Array, choice: LayerChoice = {}): Modulation {
  return planModulation(bytes, choice).modulation;
}

interface Plan {
  readonly view: ModelView;
  readonly names: UniqueNames;
  readonly chosen: readonly NamedPoint[];
  /** The name of the batch axis. */
  readonly batch: string;
  readonly modulation: Modulation;
}

function planModulation(bytes: Uint8Array, choice: LayerChoice): Plan {
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
  const chosen = chooseLayers(named, choice, skipped);
  const parameters = chosen.reduce((sum, { point }) => sum + 2 * point.channels, 0);
  const layers = chosen.map(({ point: { operator, channels }, name }) => ({
    name,
    operator,
    channels,
    gamma: `${name}.gamma`,
    beta: `${name}.beta`,
  }));
  const share = parameters / Math.max(1, countParameters(view));
  return {
    view,
    names,
    chosen,
    batch: found.batchSymbol ?? 'N',
    modulation: { layers, parameters, share, skipped },
  };
}
