import { BallastError } from '../../errors.js';
import { ImageDecoder } from '../../runtime/image.js';
import { Lanes } from '../../runtime/lanes.js';
import type { Tensor, TensorMap } from '../../runtime/tensor.js';
import type { ImageInput } from '../model-config.js';
import type { Batch, Stage } from '../pipeline.js';
import type { EncodedInputs } from '../serving.js';

// Decodes that one request may have under way or waiting: a large one takes turns with the small ones.
const DECODES_AT_ONCE = 4;

/** Turns encoded pictures into the graph's input tensors. */
export class DecodeStage implements Stage {
  readonly name = 'decode';
  readonly mixesSamples = false;
  private readonly decoders: ReadonlyMap<string, { decoder: ImageDecoder; tensor: string }>;

  /** @param inputs - the picture inputs of model.yaml, by name, each with the graph input that it feeds */
  constructor(inputs: ReadonlyMap<string, ImageInput & { readonly tensor: string }>) {
    this.decoders = new Map(
      [...inputs].map(([name, input]) => [name, { decoder: new ImageDecoder(input), tensor: input.tensor }]),
    );
  }

  /**
   * How many samples the files make.
   * @throws BallastError invalid-input where there is none, an input is unknown, or the inputs' counts differ
   */
  countOf(files: EncodedInputs): number {
    const known = [...this.decoders.keys()];
    const unknown = Object.keys(files).find((name) => !this.decoders.has(name));
    if (unknown !== undefined) {
      throw new BallastError(
        'invalid-input',
        `There is no input "${unknown}"; this model takes ${quoted(known)}.`,
      );
    }
    const counts = known.map((name) => files[name]?.length ?? 0);
    const count = Math.max(...counts);
    if (count === 0) {
      throw new BallastError('invalid-input', `No file came; send at least one as ${quoted(known)}.`);
    }
    if (counts.some((other) => other !== count)) {
      throw new BallastError(
        'invalid-input',
        `The inputs have different numbers of files (${known.map((name, i) => `${name}: ${counts[i]}`).join(', ')}); file i of each belongs to sample i.`,
      );
    }
    return count;
  }

  /** @throws BallastError as ImageDecoder.decode, naming the file, for instance `image[3]` */
  async run(batch: Batch): Promise<void> {
    batch.inputs = await this.decode(batch.files ?? {}, batch.count);
  }

  /**
   * Decodes `count` files of each input into the graph's input tensors.
   * @throws BallastError as ImageDecoder.decode
   */
  async decode(files: EncodedInputs, count: number): Promise<TensorMap> {
    const inputs: Record<string, Tensor> = {};
    for (const [name, { decoder, tensor }] of this.decoders) {
      const { sampleSize, sampleShape } = decoder;
      const data = new Float32Array(count * sampleSize);
      const lanes = new Lanes(DECODES_AT_ONCE);
      const decodes = (files[name] ?? []).map((bytes, i) =>
        lanes.run(() => decoder.decode(bytes, data, i * sampleSize, `${name}[${i}]`)),
      );
      await Promise.all(decodes);
      inputs[tensor] = { type: 'float32', dims: [count, ...sampleShape], data };
    }
    return inputs;
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
