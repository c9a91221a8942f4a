import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BallastError, messageOf } from '../errors.js';

/**
 * Writes a file so that it is there whole or not at all, even where the machine stops halfway.
 * @throws BallastError unavailable where it cannot be written: a full disk, a folder that must not be written to
 */
export async function writeAtomically(path: string, content: Uint8Array | string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(partial, 'w');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw new BallastError('unavailable', `${path} cannot be written: ${messageOf(error)}`, { cause: error });
  }
}
