import { BallastError } from '../errors.js';
import { predictQuerySchema } from './schemas.js';

/** What the query of a predict request asks for. */
export interface PredictQuery {
  readonly top: number;
  readonly lame?: boolean;
  readonly stream?: string;
  readonly smoothing?: boolean;
  readonly alpha?: number;
  readonly certify?: boolean;
  readonly prompt?: string;
}

const DEFAULTS: PredictQuery = { top: 5 };

/**
 * Reads the query of a predict request.
 * @param search - without its question mark
 * @throws BallastError invalid-input, naming the parameter, for one that is unknown, wrong or given twice
 */
export function readPredictQuery(search: string): PredictQuery {
  if (search === '') return DEFAULTS;
  const given: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    if (Object.hasOwn(given, name)) {
      throw new BallastError('invalid-input', `The query parameter "${name.slice(0, 64)}" is given twice.`);
    }
    given[name] = value;
  }
  const parsed = predictQuerySchema.safeParse(given);
  if (parsed.success) {
    const { top = DEFAULTS.top, lame, stream, smoothing, alpha, certify, prompt } = parsed.data;
    return {
      top,
      ...(lame && { lame: lame === 'on' }),
      ...(stream !== undefined && { stream }),
      ...(smoothing && { smoothing: smoothing === 'on' }),
      ...(alpha !== undefined && { alpha }),
      ...(prompt !== undefined && { prompt }),
      ...(certify && { certify: certify === 'on' }),
    };
  }
  const [issue] = parsed.error.issues;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(predictQuerySchema.shape).join(', ');
    throw new BallastError(
      'invalid-input',
      `There is no query parameter "${issue.keys[0].slice(0, 64)}"; there are ${known}.`,
    );
  }
  throw new BallastError(
    'invalid-input',
    `The query parameter "${String(issue.path[0])}" is wrong: ${issue.message}.`,
  );
}
