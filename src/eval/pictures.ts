import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { BallastError } from '../errors.js';
import { ImageDecoder, type ImageFormat } from '../runtime/image.js';
import type { Tensor } from '../runtime/tensor.js';
import type { Picture } from './corruptions/corruption.js';
import type { LabelledEntry, LabelledPictures } from './labelled-pictures.js';

/** Files that are read and decoded side by side. */
const AT_ONCE = 16;

/** Labelled pictures, decoded at the size that the model takes. */
export interface DecodedPictures {
  /** 8-bit RGB, `[N]`: what corruptions change. */
  readonly pictures: readonly Picture[];
  /** The clean pictures as the model's levels, `[N]`: see LevelDecoder. */
  readonly levels: readonly Uint8Array[];
  /** Class of each, `[N]`. */
  readonly labels: Uint32Array;
  /** Files that are no pictures, or damaged. */
  readonly skipped: readonly { readonly file: string; readonly reason: string }[];
  /** SHA-256 of the names, labels and bytes of all pictures, skipped ones too. */
  readonly digest: string;
}

/**
 * Decodes pictures into the 8-bit levels that the served decoder looks up before it normalises, in the model's own
 * order of channels and axes. Levels take a quarter of a tensor's memory, and make the very tensor that serving makes:
 * no picture is encoded again with a loss on the way.
 */
export class LevelDecoder {
  private readonly decoder: ImageDecoder;
  /** Normalised value of each of the 256 levels, a channel each. */
  private readonly tables: readonly Float32Array[];

  /** @param input - the model's picture input */
  constructor(private readonly input: ImageFormat) {
    const { mean, std, channels } = input;
    // A mean of 0 and a deviation of 1/255 make the decoder answer the levels themselves.
    this.decoder = new ImageDecoder({ ...input, mean: [0], std: [1 / 255] });
    this.tables = Array.from({ length: channels === 'grey' ? 1 : 3 }, (_, channel) =>
      Float32Array.from(
        { length: 256 },
        (__, level) => (level / 255 - mean[channel % mean.length]) / std[channel % std.length],
      ),
    );
  }

  /**
   * The levels of an encoded picture.
   * @throws BallastError as ImageDecoder.decode
   */
  async decode(bytes: Uint8Array, where: string): Promise<Uint8Array> {
    return levelsOf(this.decoder, bytes, where);
  }

  /** The levels of a picture of the model's size. */
  async levels({ data, width, height }: Picture): Promise<Uint8Array> {
    // Grey is made of colours by the decoder alone; a PNG brings them there as they are.
    const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    return this.decode(bytes, 'A picture');
  }

  /** The tensor of some pictures, in memory of its own. */
  tensor(levels: readonly Uint8Array[]): Tensor {
    const { sampleSize, sampleShape } = this.decoder;
    const { layout, width, height } = this.input;
    const data = new Float32Array(levels.length * sampleSize);
    const channels = this.tables.length;
    const [step, channelStep] = layout === 'nchw' ? [1, width * height] : [channels, 1];
    levels.forEach((sample, i) => {
      this.tables.forEach((table, channel) => {
        for (let pixel = 0, at = channel * channelStep; pixel < width * height; pixel++, at += step) {
          data[i * sampleSize + at] = table[sample[at]];
        }
      });
    });
    return { type: 'float32', dims: [levels.length, ...sampleShape], data };
  }
}

/**
 * Reads and decodes pictures, once. Files that are no pictures are skipped.
 * @param entries - those of `source` that are wanted
 * @param onDecoded - told of every file
 * @throws BallastError invalid-input where not one can be decoded; the signal's reason
 */
export async function decodePictures(
  source: LabelledPictures,
  entries: readonly LabelledEntry[],
  input: ImageFormat,
  decoder: LevelDecoder,
  { onDecoded, signal }: { onDecoded: () => void; signal: AbortSignal },
): Promise<DecodedPictures> {
  const rgb = new ImageDecoder({ ...input, channels: 'rgb', layout: 'nhwc', mean: [0], std: [1 / 255] });
  const { width, height } = input;
  const hash = createHash('sha256');
  const pictures: Picture[] = [];
  const levels: Uint8Array[] = [];
  const labels: number[] = [];
  const skipped: { file: string; reason: string }[] = [];
  for (let begin = 0; begin < entries.length; begin += AT_ONCE) {
    signal.throwIfAborted();
    const decoded = await Promise.all(
      entries.slice(begin, begin + AT_ONCE).map(async (entry) => {
        const { name: file } = entry;
        try {
          const bytes = await source.read(entry);
          const own = await levelsOf(rgb, bytes, file);
          const plain = input.channels === 'rgb' && input.layout === 'nhwc';
          return { entry, bytes, data: own, levels: plain ? own : await decoder.decode(bytes, file) };
        } catch (error) {
          if (!(error instanceof BallastError)) throw error;
          return { entry, bytes: undefined, skipped: { file, reason: error.message } };
        } finally {
          onDecoded();
        }
      }),
    );
    for (const one of decoded) {
      hash.update(`${one.entry.name}\n${one.entry.label}\n${one.bytes?.length ?? 'skipped'}\n`);
      if (one.bytes === undefined) {
        skipped.push(one.skipped);
        continue;
      }
      hash.update(one.bytes);
      pictures.push({ data: one.data, width, height });
      levels.push(one.levels);
      labels.push(one.entry.label);
    }
  }
  if (pictures.length === 0) {
    throw new BallastError(
      'invalid-input',
      `None of the ${entries.length} files can be read as a picture; the first: ${skipped.at(0)?.reason ?? 'there is none'}`,
    );
  }
  return { pictures, levels, labels: Uint32Array.from(labels), skipped, digest: hash.digest('hex') };
}

async function levelsOf(decoder: ImageDecoder, bytes: Uint8Array, where: string): Promise<Uint8Array> {
  const values = new Float32Array(decoder.sampleSize);
  await decoder.decode(bytes, values, 0, where);
  return Uint8Array.from(values, Math.round);
}
