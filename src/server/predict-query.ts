import type { RequestOptions } from '../pipeline/batch.js';
import { readQuery } from './query.js';
import { predictQuerySchema } from './schemas.js';

/** What the query of a predict request asks for. */
export interface PredictQuery extends Pick<
  RequestOptions,
  'lame' | 'stream' | 'smoothing' | 'alpha' | 'certify' | 'prompt'
> {
  readonly top: number;
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
    lame: lame && lame === 'on',
    stream,
    smoothing: smoothing && smoothing === 'on',
    alpha,
    certify: certify && certify === 'on',
    prompt,
  };
}
