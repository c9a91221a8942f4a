import { readQuery } from './query.js';
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
 * @throws BallastError as readQuery
 */
export function readPredictQuery(search: string): PredictQuery {
  if (search === '') return DEFAULTS;
  const {
    top = DEFAULTS.top,
    lame,
    stream,
    smoothing,
    alpha,
    certify,
    prompt,
  } = readQuery(search, predictQuerySchema);
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
