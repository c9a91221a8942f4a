import { open } from 'node:fs/promises';
import { BallastError, messageOf } from '../../errors.js';

/** Bytes left free before and after a model, so that surgery can add to it without copying the weights. */
const ROOM = 64 * 1024;

/** Bytes at which protobuf ends: no valid model is larger, since a larger one keeps its weights in other files. */
export const LARGEST_MODEL = 2 ** 31 - 1;

/**
 * Reads an ONNX file in one go.
 * @returns its bytes, in the middle of a buffer with some room on both sides
 * @throws BallastError invalid-model where it cannot be read or is larger than an ONNX file can be
 */
export async function readModel(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > LARGEST_MODEL) throw new Error('it is over 2 GB; save it with its weights in external data');
      const buffer = Buffer.allocUnsafeSlow(size + 2 * ROOM);
      let length = 0;
      while (length < size) {
        const { bytesRead } = await file.read(buffer, ROOM + length, size - length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return buffer.subarray(ROOM, ROOM + length);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new BallastError('invalid-model', `The model ${path} cannot be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}
