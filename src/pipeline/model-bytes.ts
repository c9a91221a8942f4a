import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BallastError } from '../errors.js';
import type { ModelFiles } from './model-file.js';

/**
 * Reads a model's ONNX file.
 * @throws BallastError invalid-model where it cannot be read
 */
export async function readModelBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new BallastError(
      'invalid-model',
      `${file} cannot be read; is classifier.file in model.yaml right?`,
      {
        cause: error,
      },
    );
  }
}

/** Bytes of a model's files, and of those beside them with weights; a missing one is reported when it is loaded. */
export async function weightBytes(files: ModelFiles, external: readonly string[]): Promise<number> {
  const beside = external.map((name) => join(dirname(files.classifier), name));
  const own = [files.classifier, files.robust, files.mixing, files.voter].filter(
    (path) => path !== undefined,
  );
  const sizes = [...own, ...beside].map(async (path) => {
    const found = await stat(path).catch(() => undefined);
    return found?.size ?? 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
