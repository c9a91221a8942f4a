import { BallastError } from '../../errors.js';
import type { RequestOptions } from '../../pipeline/batch.js';
import type { StopSignal } from '../../runtime/stop-signal.js';
import { foundAndRight, TELLING } from '../../schema-mistake.js';
import { alphaSchema, promptSchema, streamIdSchema } from '../schemas.js';

/**
 * How a request wants to be served, by its `parameters`: `lame`, `smoothing` and `certify` (true, false, on, off),
 * `alpha`, `prompt` and `stream`. Parameters that are unknown are ignored, as the protocol says.
 * @param outputs - which of the model's own outputs it wants
 * @param signal - aborts it
 * @throws BallastError invalid-input where one of ours has a wrong value
 */
export function inferOptions(
  parameters: Readonly<Record<string, unknown>>,
  outputs: readonly string[],
  signal: StopSignal,
): RequestOptions {
  const { stream, alpha } = parameters;
  const prompt =
    typeof parameters['prompt'] === 'number' ? String(parameters['prompt']) : parameters['prompt'];
  if (alpha !== undefined && !alphaSchema.safeParse(alpha).success) {
    throw new BallastError('invalid-input', 'The parameter "alpha" must be a number in [0, 1].');
  }
  if (prompt !== undefined && !promptSchema.safeParse(prompt).success) {
    throw new BallastError(
      'invalid-input',
      'The parameter "prompt" must be the number of a version, or "off".',
    );
  }
  if (stream !== undefined) {
    const { success, error } = streamIdSchema.safeParse(stream, TELLING);
    if (!success) {
      throw new BallastError(
        'invalid-input',
        `The parameter "stream" is wrong: ${foundAndRight(error.issues[0])}.`,
      );
    }
  }
  return {
    lame: readSwitch(parameters, 'lame'),
    smoothing: readSwitch(parameters, 'smoothing'),
    certify: readSwitch(parameters, 'certify'),
    alpha: alpha as number | undefined,
    prompt: prompt as string | undefined,
    stream: stream as string | undefined,
    outputs,
    signal,
  };
}

function readSwitch(parameters: Readonly<Record<string, unknown>>, name: string): boolean | undefined {
  const value = parameters[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'boolean' && value !== 'on' && value !== 'off') {
    throw new BallastError('invalid-input', `The parameter "${name}" must be true, false, "on" or "off".`);
  }
  return value === true || value === 'on';
}
