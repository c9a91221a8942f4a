import { readFile, stat } from 'node:fs/promises';
import { BallastError } from '../errors.js';

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

/** Bytes of some files together; a missing one is reported when it is loaded. */
export async function totalBytes(paths: readonly (string | undefined)[]): Promise<number> {
  const sizes = paths.map(async (path) => {
    const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
    return found?.size ?? 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
