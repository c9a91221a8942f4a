import type { Adapter } from './adapter.js';
import type { Affinity } from './options.js';
import type { Order } from './orders.js';

/** How the images are grouped into requests; `stream`: one by one, all in one stream. */
export type Grouping = 16 | 64 | 256 | 'stream';

export const GROUPINGS: readonly Grouping[] = [16, 64, 256, 'stream'];

/** A row of the table: one way in which images arrive, and how well they are classified. */
export interface Row {
  readonly level: number;
  readonly order: Order;
  readonly grouping: Grouping;
  readonly affinity: Affinity;
  /** Percent right, of the wrapped model alone and with LAME. */
  readonly base: number;
  readonly adapted: number;
  /** Whether every request went through the whole pipeline, and not through LAME's stage alone. */
  readonly served: boolean;
}

/**
 * Classifies all images.
 * @param images - indices, in the order of arrival
 * @param stream - name for the stream, new to the adapter
 * @returns the predicted class of each, in the same order
 */
export async function classify(
  adapter: Adapter,
  images: readonly number[],
  grouping: Grouping,
  stream: string,
): Promise<number[]> {
  const size = grouping === 'stream' ? 1 : grouping;
  const predictions: number[] = [];
  for (let begin = 0; begin < images.length; begin += size) {
    const group = images.slice(begin, begin + size);
    predictions.push(...(await adapter.adapt(group, grouping === 'stream' ? stream : undefined)));
  }
  return predictions;
}
