import { BallastError } from '../../errors.js';
import { closestNames } from './closest-names.js';
import type { LayerKind, ModulationPoint, SkippedLayer } from './modulation-points.js';

/** A layer and its name in the modulated network. */
export interface NamedPoint {
  readonly point: ModulationPoint;
  readonly name: string;
}

/** Which layers to modulate; all of them where nothing is said. */
export interface LayerChoice {
  /** The layers to keep: by name, or by a choice from their names and operators. */
  readonly layers?: readonly string[] | ((name: string, operator: string) => boolean);
  readonly kinds?: readonly LayerKind[];
}

/**
 * Chooses from a network's layers.
 * @param skipped - those that cannot be modulated, for errors
 * @throws BallastError invalid-model where there is no layer of a name asked for, or none at all
 */
export function chooseLayers(
  named: readonly NamedPoint[],
  { layers, kinds }: LayerChoice,
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
