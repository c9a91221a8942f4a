import { BallastError } from '../../errors.js';
import { Lanes } from '../../runtime/lanes.js';
import type { Tensor, TensorMap } from '../../runtime/tensor.js';
import type { Batch, Stage } from '../pipeline.js';
import type { EncodedInputs } from '../serving.js';

// Decodes that one request may have under way or waiting: a large one takes turns with the small ones.
const DECODES_AT_ONCE = 4;

/** What decodes the files of one input: see ImageDecoder and AudioDecoder. */
export interface SampleDecoder {
  readonly sampleSize: number;
  readonly sampleShape: readonly number[];
  decode(bytes: Uint8Array, target: Float32Array, offset: number, name: string): Promise<void>;
}

/** An input of model.yaml: its decoder, and the graph input that it feeds. */
export interface DecodedInput {
  readonly decoder: SampleDecoder;
  readonly tensor: string;
}

/** What becomes of files that did not arrive, or cannot be read. */
export interface MissingRules {
  /** Whether a sample may lack a modality; the graph then gets zeros. */
  readonly allowed: boolean;
  /** Whether a file that cannot be decoded counts as one that did not arrive. */
  readonly brokenIsMissing: boolean;
}

/** Turns encoded files into the graph's input tensors. */
export class DecodeStage implements Stage {
  readonly name = 'decode';
  readonly mixesSamples = false;

  /** @param inputs - the inputs of model.yaml, by name */
  constructor(
    private readonly inputs: ReadonlyMap<string, DecodedInput>,
    private readonly missing: MissingRules = { allowed: false, brokenIsMissing: false },
  ) {}

  /**
   * How many samples the files make.
   * @throws BallastError invalid-input where there is none, an input is unknown, the inputs' counts differ, a file is
   *   missing that must not be, or a sample has no file at all
   */
  countOf(files: EncodedInputs): number {
    const known = [...this.inputs.keys()];
    const unknown = Object.keys(files).find((name) => !this.inputs.has(name));
    if (unknown !== undefined) {
      throw invalid(`There is no input "${unknown}"; this model takes ${quoted(known)}.`);
    }
    const counts = known.map((name) => files[name]?.length ?? 0);
    const count = Math.max(...counts);
    if (count === 0) throw invalid(`No file came; send at least one as ${quoted(known)}.`);
    if (counts.some((other) => other !== count && (other > 0 || !this.missing.allowed))) {
      const told = known.map((name, i) => `${name}: ${counts[i]}`).join(', ');
      const way = this.missing.allowed
        ? `; where some are missing, name each "${known[0]}[0]" with the number of its sample`
        : '';
      throw invalid(
        `The inputs have different numbers of files (${told}); file i of each belongs to sample i${way}.`,
      );
    }
    for (let sample = 0; sample < count; sample++) {
      const lacking = known.filter((name) => !files[name]?.[sample]);
      if (lacking.length === known.length) {
        throw invalid(`Sample ${sample} has no file at all; send at least one of ${quoted(known)} for each.`);
      }
      if (lacking.length > 0 && !this.missing.allowed) {
        throw invalid(
          `${lacking[0]}[${sample}] is missing, and this model takes no sample without ${quoted(known)}.`,
        );
      }
    }
    return count;
  }

  /** @throws BallastError as ImageDecoder.decode, naming the file, for instance `image[3]` */
  async run(batch: Batch): Promise<void> {
    const { tensors, arrived } = await this.decode(batch.files ?? {}, batch.count);
    batch.inputs = tensors;
    if (this.missing.allowed) batch.arrived = arrived;
  }

  /**
   * Tensors that came as such, with zeros for the inputs that did not.
   * @param tensors - by graph input, `count` rows each
   * @returns all graph inputs, and of each sample the inputs that arrived
   */
  complete(tensors: TensorMap, count: number): { whole: TensorMap; arrived: string[][] } {
    const whole: Record<string, Tensor> = { ...tensors };
    const names: string[] = [];
    for (const [name, { decoder, tensor }] of this.inputs) {
      if (tensor in tensors) names.push(name);
      else {
        const data = new Float32Array(count * decoder.sampleSize);
        whole[tensor] = { type: 'float32', dims: [count, ...decoder.sampleShape], data };
      }
    }
    return { whole, arrived: Array.from({ length: count }, () => names) };
  }

  /**
   * Decodes `count` files of each input into the graph's input tensors, zeros for those that are missing.
   * @returns the tensors, and the inputs that arrived of each sample
   * @throws BallastError as ImageDecoder.decode
   */
  async decode(files: EncodedInputs, count: number): Promise<{ tensors: TensorMap; arrived: string[][] }> {
    const tensors: Record<string, Tensor> = {};
    const arrived = Array.from({ length: count }, (): string[] => []);
    for (const [name, { decoder, tensor }] of this.inputs) {
      const { sampleSize, sampleShape } = decoder;
      const data = new Float32Array(count * sampleSize);
      const lanes = new Lanes(DECODES_AT_ONCE);
      const decodes = (files[name] ?? []).map((bytes, i) =>
        lanes.run(async () => {
          if (bytes === null) return false;
          try {
            await decoder.decode(bytes, data, i * sampleSize, `${name}[${i}]`);
            return true;
          } catch (error) {
            if (!this.missing.brokenIsMissing || !isBroken(error)) throw error;
            data.fill(0, i * sampleSize, (i + 1) * sampleSize);
            return false;
          }
        }),
      );
      (await Promise.all(decodes)).forEach((came, i) => {
        if (came) arrived[i].push(name);
      });
      tensors[tensor] = { type: 'float32', dims: [count, ...sampleShape], data };
    }
    const empty = arrived.findIndex((names) => names.length === 0);
    if (empty >= 0) throw invalid(`Nothing of sample ${empty} can be read.`);
    return { tensors, arrived };
  }
}

/** Whether it is the file that is wrong. */
function isBroken(error: unknown): boolean {
  return (
    error instanceof BallastError &&
    (error.code === 'invalid-input' || error.code === 'unsupported-media-type')
  );
}

function invalid(message: string): BallastError {
  return new BallastError('invalid-input', message);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
