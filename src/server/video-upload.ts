import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BallastError, messageOf } from '../errors.js';
import type { ServerContext } from './context.js';

/** A video on its way through the server: a temporary file, since a container's index may be at its end. */
export interface UploadedVideo {
  readonly path: string;
  readonly bytes: number;
  /** Removes the file; to be called once. */
  dispose(): Promise<void>;
}

/** How many videos may be in the server at once: each has a file, a decoder and the cores that this takes. */
export class VideoSlots {
  private taken = 0;

  /**
   * @param count - `--max-videos`
   * @param onFull - told of each refusal
   */
  constructor(
    private readonly count: number,
    private readonly onFull: () => void,
  ) {}

  /**
   * Takes a place; tried, never awaited.
   * @returns gives it back
   * @throws BallastError queue-full
   */
  take(): () => void {
    if (this.taken >= this.count) {
      this.onFull();
      throw new BallastError(
        'queue-full',
        `${this.count} videos are in the server already, the most that it takes at once (--max-videos).`,
        { retryAfterSeconds: 5 },
      );
    }
    this.taken++;
    return () => {
      this.taken--;
    };
  }
}

/**
 * Writes a video to a temporary file while it arrives, never more than a few chunks of it in memory.
 * @param stream - its bytes
 * @throws BallastError queue-full where the server has enough videos; too-large; unavailable where the disk is full;
 *   invalid-input where the client leaves halfway
 */
export async function storeVideo(
  { config, videos }: ServerContext,
  stream: Readable,
): Promise<UploadedVideo> {
  const mostMb = config.maxVideoMb;
  const leave = videos.take();
  let folder: string;
  try {
    folder = await mkdtemp(join(tmpdir(), 'ballast-video-'));
  } catch (error) {
    leave();
    throw storeError(error);
  }
  const dispose = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    leave();
  };
  const path = join(folder, 'video');
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      done(bytes > mostMb * 1e6 ? tooLargeVideo(mostMb) : null, chunk);
    },
  });
  try {
    await pipeline(stream, counted, createWriteStream(path, { mode: 0o600 }));
  } catch (error) {
    await dispose();
    throw storeError(error);
  }
  return { path, bytes, dispose };
}

/** What is thrown where a video has more bytes than are taken. */
export function tooLargeVideo(mostMb: number): BallastError {
  return new BallastError(
    'too-large',
    `The video has more than ${mostMb} MB, which is the most that this server takes (--max-video-mb); send a shorter one, or one of a smaller size.`,
  );
}

function storeError(error: unknown): BallastError {
  if (error instanceof BallastError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new BallastError('unavailable', 'The disk for uploaded videos is full; try again later.', {
      cause: error,
      retryAfterSeconds: 30,
    });
  }
  if (code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET') {
    return new BallastError('invalid-input', 'The client left in the middle of its request.', {
      cause: error,
    });
  }
  return new BallastError('internal', `The video could not be stored (${messageOf(error)}).`, {
    cause: error,
  });
}
