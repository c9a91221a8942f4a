import { BallastError } from '../../errors.js';
import type { RequestOptions } from '../../pipeline/batch.js';
import { alphaSchema, promptSchema, streamIdSchema } from '../schemas.js';

/**
 * The options among a request's `parameters`: `lame`, `smoothing` and `certify` (true, false, on, off), `alpha`,
 * `prompt` and `stream`. Parameters that are unknown are ignored, as the protocol says.
 * @throws BallastError invalid-input where one of ours has a wrong value
 */
export function inferOptions(
  parameters: Readonly<Record<string, unknown>>,
): Pick<RequestOptions, 'lame' | 'smoothing' | 'certify' | 'alpha' | 'prompt' | 'stream'> {
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
    const { success, error } = streamIdSchema.safeParse(stream);
    if (!success) {
      throw new BallastError('invalid-input', `The parameter "stream" is wrong: ${error.issues[0].message}.`);
    }
  }
  return {
    ...readSwitch(parameters, 'lame'),
    ...readSwitch(parameters, 'smoothing'),
    ...readSwitch(parameters, 'certify'),
    ...(alpha !== undefined && { alpha: alpha as number }),
    ...(prompt !== undefined && { prompt: prompt as string }),
    ...(stream !== undefined && { stream: stream as string }),
  };
}

function readSwitch<Name extends string>(
  parameters: Readonly<Record<string, unknown>>,
  name: Name,
): Partial<Record<Name, boolean>> {
  const value = parameters[name];
  if (value === undefined) return {};
  if (typeof value !== 'boolean' && value !== 'on' && value !== 'off') {
    throw new BallastError('invalid-input', `The parameter "${name}" must be true, false, "on" or "off".`);
  }
  return { [name]: value === true || value === 'on' } as Record<Name, boolean>;
}
