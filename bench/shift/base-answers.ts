import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectModel } from '#ballast/runtime/onnx/inspect.js';
import { stackRows, toMatrix } from '#ballast/runtime/matrix.js';
import type { ServedModel } from '#ballast/pipeline/serving.js';
import type { Matrix } from '#ballast/runtime/tensor.js';

/** What the wrapped model alone says of every image of one noise level. */
export interface BaseAnswers {
  /** `[N, K]` */
  readonly probabilities: Matrix;
  /** `[N, D]` */
  readonly features: Matrix;
}

const BATCH = 64;

/**
 * Runs the files through the served pipeline once, without LAME.
 * @param features - name of the tensor of features
 */
export async function baseAnswers(
  model: ServedModel,
  files: readonly Uint8Array[],
  features: string,
): Promise<BaseAnswers> {
  const parts: BaseAnswers[] = [];
  for (let begin = 0; begin < files.length; begin += BATCH) {
    const { base, outputs } = await model.predict(
      { [inputOf(model)]: files.slice(begin, begin + BATCH) },
      { lame: false, outputs: [features] },
    );
    parts.push({ probabilities: base!, features: toMatrix(outputs[features], features) });
  }
  return {
    probabilities: stackRows(parts.map(({ probabilities }) => probabilities)),
    features: stackRows(parts.map((part) => part.features)),
  };
}

/** The name by which a model takes pictures. */
export function inputOf(model: ServedModel): string {
  const [name] = Object.keys(model.config.inputs);
  return name;
}

/**
 * The tensor that a model's features come from.
 * @param folder - the model's
 * @throws Error where it has none, so that LAME cannot run
 */
export async function featuresTensor(model: ServedModel, folder: string): Promise<string> {
  const { file, features } = model.config.classifier;
  const name =
    features === 'auto' ? inspectModel(await readFile(join(folder, file!))).features?.name : features;
  if (name === undefined || name === 'none') throw new Error(`${folder} has no features for LAME.`);
  return name;
}

/** Some rows of a matrix, in the order given. */
export function pickRows({ data, cols }: Matrix, rows: readonly number[]): Matrix {
  const out = new Float32Array(rows.length * cols);
  rows.forEach((row, i) => {
    out.set(data.subarray(row * cols, (row + 1) * cols), i * cols);
  });
  return { data: out, rows: rows.length, cols };
}
