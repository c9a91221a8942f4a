import { argmax } from '../runtime/matrix.js';
import type { Matrix } from '../runtime/tensor.js';

/** What one method answered for every sample, in the order of the data set. */
export interface Outcome {
  /** Class answered, `[N]`. */
  readonly predicted: Uint32Array;
  /** Probability of the true class, `[N]`, in [0, 1]. */
  readonly trueProbability: Float32Array;
  /** Probability of the answered class, `[N]`, in [0, 1]. */
  readonly confidence: Float32Array;
  /** Weight of the robust classifier, `[N]`, where it was mixed. */
  readonly alpha?: Float32Array;
  /** Certified radius of each answer, `[N]`, where there are certificates that cost no further passes. */
  readonly radius?: Float32Array;
}

/**
 * What probabilities come to, against the true classes.
 * @param probabilities - `[N, K]`
 * @param labels - true class of each row, `[N]`
 */
export function outcomeOf(
  probabilities: Matrix,
  labels: Uint32Array,
  beside: Pick<Outcome, 'alpha' | 'radius'> = {},
): Outcome {
  const { rows, cols, data } = probabilities;
  const predicted = Uint32Array.from({ length: rows }, (_, row) => argmax(probabilities, row));
  return {
    predicted,
    trueProbability: Float32Array.from({ length: rows }, (_, row) => data[row * cols + labels[row]]),
    confidence: Float32Array.from(predicted, (answer, row) => data[row * cols + answer]),
    ...(beside.alpha && { alpha: beside.alpha }),
    ...(beside.radius && { radius: beside.radius }),
  };
}

/** An outcome as text: each array's bytes in base64, the least significant byte of a number first. */
export type PackedOutcome = { readonly [Key in keyof Outcome]: string };

/** Packs an outcome for a line of JSON, with every bit kept. */
export function packOutcome({
  predicted,
  trueProbability,
  confidence,
  alpha,
  radius,
}: Outcome): PackedOutcome {
  return {
    predicted: textOf(predicted),
    trueProbability: textOf(trueProbability),
    confidence: textOf(confidence),
    ...(alpha && { alpha: textOf(alpha) }),
    ...(radius && { radius: textOf(radius) }),
  };
}

/** The outcome that was packed. */
export function unpackOutcome(packed: PackedOutcome): Outcome {
  return {
    predicted: new Uint32Array(bytesOf(packed.predicted)),
    trueProbability: new Float32Array(bytesOf(packed.trueProbability)),
    confidence: new Float32Array(bytesOf(packed.confidence)),
    ...(packed.alpha !== undefined && { alpha: new Float32Array(bytesOf(packed.alpha)) }),
    ...(packed.radius !== undefined && { radius: new Float32Array(bytesOf(packed.radius)) }),
  };
}

function textOf({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/** In memory of its own, as views of wider numbers need. */
function bytesOf(text: string): ArrayBuffer {
  const bytes = Buffer.from(text, 'base64');
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}
