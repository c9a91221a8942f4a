import { AdaptStage } from '#ballast/pipeline/stages/adapt.js';
import { Batch } from '#ballast/pipeline/pipeline.js';
import type { ServedModel } from '#ballast/pipeline/serving.js';
import { StreamStore } from '#ballast/pipeline/streams.js';
import type { Matrix } from '#ballast/runtime/tensor.js';
import { predictedClasses } from './accuracy.js';
import { inputOf, pickRows, type BaseAnswers } from './base-answers.js';

/** What adapts the images of one noise level. */
export interface Adapter {
  /**
   * Classes predicted for images that arrive together.
   * @param images - indices into the test set
   * @param stream - the stream that they continue, if any
   */
  adapt(images: readonly number[], stream?: string): Promise<number[]>;
}

/** Sends the encoded files through the whole served pipeline: decode, forward, LAME. */
export class ServedAdapter implements Adapter {
  constructor(
    private readonly model: ServedModel,
    private readonly files: readonly Uint8Array[],
  ) {}

  async adapt(images: readonly number[], stream?: string): Promise<number[]> {
    const files = { [inputOf(this.model)]: images.map((image) => this.files[image]) };
    const { probabilities } = await this.model.predict(files, stream === undefined ? {} : { stream });
    return predictedClasses(probabilities!);
  }
}

/** Runs the pipeline's LAME stage alone, on the forward pass that was made once for all rows of the table. */
export class StageAdapter implements Adapter {
  private readonly stage: AdaptStage;

  constructor(
    model: ServedModel,
    private readonly base: BaseAnswers,
  ) {
    const streams = new StreamStore({ maxStreams: 1000, maxBytes: 1e9, maxIdleSeconds: 3600 });
    this.stage = new AdaptStage(model.name, model.config.lame!, streams);
  }

  async adapt(images: readonly number[], stream?: string): Promise<number[]> {
    const base: Matrix = pickRows(this.base.probabilities, images);
    const batch = new Batch({
      count: images.length,
      options: { stream },
      features: pickRows(this.base.features, images),
      base,
      probabilities: base,
    });
    await this.stage.run(batch);
    return predictedClasses(batch.probabilities!);
  }
}
