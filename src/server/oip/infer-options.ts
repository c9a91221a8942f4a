import { BallastError } from '../../errors.js';
import type { RequestOptions } from '../../pipeline/batch.js';
import { streamIdSchema } from '../schemas.js';

/**
 * The options among a request's `parameters`: `lame` (true, false, on, off) and `stream`. Parameters that are
 * unknown are ignored, as the protocol says.
 * @throws BallastError invalid-input where one of ours has a wrong value
 */
export function inferOptions(
  parameters: Readonly<Record<string, unknown>>,
): Pick<RequestOptions, 'lame' | 'stream'> {
  const { lame, stream } = parameters;
  if (lame !== undefined && typeof lame !== 'boolean' && lame !== 'on' && lame !== 'off') {
    throw new BallastError('invalid-input', 'The parameter "lame" must be true, false, "on" or "off".');
  }
  if (stream !== undefined) {
    const { success, error } = streamIdSchema.safeParse(stream);
    if (!success) {
      throw new BallastError('invalid-input', `The parameter "stream" is wrong: ${error.issues[0].message}.`);
    }
  }
  return {
    ...(lame !== undefined && { lame: lame === true || lame === 'on' }),
    ...(stream !== undefined && { stream: stream as string }),
  };
}
