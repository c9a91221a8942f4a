import { BallastError } from '../errors.js';
import { closestNames } from '../runtime/onnx/closest-names.js';

/** What a method is made of, in the order in which names are written. */
export const METHOD_PARTS = ['lame', 'lame-auto', 'smoothing', 'prompt'] as const;

/**
 * - `lame`: LAME as model.yaml has it.
 * - `lame-auto`: the same with `window: auto`: each run of samples by itself, and none where traffic looks shuffled.
 * - `smoothing`: the mixture with the robust classifier.
 * - `prompt`: the active prompt.
 */
export type MethodPart = (typeof METHOD_PARTS)[number];

/** One way to serve the model: the base model, or what is switched on. */
export interface Method {
  /** `base`, or the parts with a plus between, such as `lame+smoothing`. */
  readonly name: string;
  /** Empty for the base model. */
  readonly parts: readonly MethodPart[];
}

/** A method of some parts. */
export function methodOf(parts: readonly MethodPart[]): Method {
  const ordered = METHOD_PARTS.filter((part) => parts.includes(part));
  return { name: ordered.length === 0 ? 'base' : ordered.join('+'), parts: ordered };
}

/** Whether answers depend on the other samples of a request or stream. */
export function mixesSamples({ parts }: Method): boolean {
  return parts.includes('lame') || parts.includes('lame-auto');
}

/**
 * The base model and every combination of what there is, the base first.
 * @param parts - what the model has
 */
export function combinationsOf(parts: readonly MethodPart[]): Method[] {
  const methods: Method[] = [];
  for (let chosen = 0; chosen < 2 ** parts.length; chosen++) {
    const own = parts.filter((_, i) => (chosen >> i) & 1);
    if (!(own.includes('lame') && own.includes('lame-auto'))) methods.push(methodOf(own));
  }
  return methods.sort((a, b) => a.parts.length - b.parts.length);
}

/**
 * Reads a list of methods, such as `base,lame,lame+smoothing`. The base model is always measured, since gains are over it.
 * @param text - separated by commas
 * @param reasons - for each part that the model does not have, why
 * @throws BallastError invalid-input for a part that is none, impossible for one that the model does not have
 */
export function parseMethods(text: string, reasons: ReadonlyMap<MethodPart, string>): Method[] {
  const methods = new Map([['base', methodOf([])]]);
  for (const item of text.split(',').map((part) => part.trim())) {
    if (item === '' || item === 'base') continue;
    const parts = item.split('+').map((name) => partOf(name.trim()));
    for (const part of parts) {
      const reason = reasons.get(part);
      if (reason !== undefined) throw new BallastError('impossible', `--methods names ${part}: ${reason}`);
    }
    if (parts.includes('lame') && parts.includes('lame-auto')) {
      throw new BallastError('invalid-input', `"${item}" names LAME twice; take lame or lame-auto.`);
    }
    const method = methodOf(parts);
    methods.set(method.name, method);
  }
  return [...methods.values()];
}

function partOf(name: string): MethodPart {
  const part = METHOD_PARTS.find((known) => known === name);
  if (part !== undefined) return part;
  const near = closestNames(name, METHOD_PARTS, 1).at(0);
  throw new BallastError(
    'invalid-input',
    `There is no method "${name}"${near === undefined ? '' : `; did you mean "${near}"?`} There are base, ${METHOD_PARTS.join(', ')}, and combinations with a plus, such as lame+smoothing.`,
  );
}
