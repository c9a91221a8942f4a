import { lameSchema } from '#ballast/pipeline/model-config.js';
import { Batch } from '#ballast/pipeline/pipeline.js';
import { AdaptStage } from '#ballast/pipeline/stages/adapt.js';
import { StreamStore } from '#ballast/pipeline/streams.js';
import { predictedClasses } from '../shift/accuracy.js';
import { pickRows, type BaseAnswers } from '../shift/base-answers.js';

/** Images of a request, or `stream`: one by one, all in one stream. */
export type Requests = number | 'stream';

/**
 * Classifies images through the pipeline's LAME stage, on the forward pass that was made once for the whole table.
 * @param images - indices in the order of arrival
 * @param window - as in model.yaml
 * @returns the predicted class of each
 */
export async function classifyInWindows(
  base: BaseAnswers,
  images: readonly number[],
  window: number | 'auto',
  requests: Requests,
): Promise<number[]> {
  const streams = new StreamStore({ maxStreams: 1, maxBytes: 1e9, maxIdleSeconds: 3600 });
  const stage = new AdaptStage('bench', lameSchema.parse({ window }), streams);
  const size = requests === 'stream' ? 1 : requests;
  const classes: number[] = [];
  for (let begin = 0; begin < images.length; begin += size) {
    const group = images.slice(begin, begin + size);
    const probabilities = pickRows(base.probabilities, group);
    const batch = new Batch({
      count: group.length,
      options: requests === 'stream' ? { stream: 'bench' } : {},
      features: pickRows(base.features, group),
      base: probabilities,
      probabilities,
    });
    await stage.run(batch);
    classes.push(...predictedClasses(batch.probabilities!));
  }
  return classes;
}
