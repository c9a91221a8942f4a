import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Matrix } from '#ballast/runtime/tensor.js';
import { Random } from '../shift/random.js';

/** The size of a batch: N samples of D features, over K classes. */
export interface Size {
  readonly N: number;
  readonly K: number;
  readonly D: number;
}

/** One batch, in memory and in files for the peer to read. */
export interface Problem {
  readonly size: Size;
  readonly probabilities: Matrix;
  readonly features: Matrix;
  readonly files: { readonly probabilities: string; readonly features: string; readonly answer: string };
}

/** Classes that occur in a batch: it comes from a stream, where few things are seen at a time. */
const CLASSES_SEEN = 16;

/**
 * Makes a batch as a shifted stream gives it: features scatter around their class, predictions lean to it.
 * @param folder - where the files go
 */
export function makeProblem(size: Size, folder: string): Problem {
  const { N, K, D } = size;
  const random = new Random(1);
  const seen = Math.min(CLASSES_SEEN, K);
  const centres = Float32Array.from({ length: seen * D }, () => random.normal());
  const features = new Float32Array(N * D);
  const probabilities = new Float32Array(N * K);
  for (let i = 0; i < N; i++) {
    const label = Math.floor(random.uniform() * seen);
    for (let d = 0; d < D; d++) features[i * D + d] = centres[label * D + d] + random.normal();
    const row = probabilities.subarray(i * K, (i + 1) * K);
    for (let k = 0; k < K; k++) row[k] = Math.exp(1.5 * random.normal() + (k === label ? 3 : 0));
    const sum = row.reduce((total, value) => total + value, 0);
    for (let k = 0; k < K; k++) row[k] /= sum;
  }
  const path = (what: string): string => join(folder, `${what}-${N}-${K}-${D}.f32`);
  const files = { probabilities: path('probabilities'), features: path('features'), answer: path('answer') };
  writeFileSync(files.probabilities, probabilities);
  writeFileSync(files.features, features);
  return {
    size,
    probabilities: { data: probabilities, rows: N, cols: K },
    features: { data: features, rows: N, cols: D },
    files,
  };
}
