import type { Readable } from 'node:stream';

/** One picture of 8-bit RGB. */
export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  /** `[height * width * 3]`, row by row, from 0 to 255. */
  readonly data: Uint8Array;
}

/** Longest header there is: `P6`, two numbers of ten digits, `255` and what is between. */
const MAX_HEADER = 32;

/**
 * Takes pictures from a stream of binary PPM files (Netpbm's P6, 8 bits), one after another. Nothing is read ahead but
 * what the stream itself holds, and the bytes of a picture are copied once, into its own array.
 */
export class PpmReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #maxBytes: number;
  #rest: Buffer = Buffer.alloc(0);

  /**
   * @param stream - read from the first picture asked for
   * @param maxBytes - of one picture
   */
  constructor(stream: Readable, maxBytes: number) {
    // Node drops the output of a process that ends before anybody listens.
    stream.on('readable', () => undefined);
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#maxBytes = maxBytes;
  }

  /**
   * The next picture.
   * @returns undefined where the stream ends before the picture does
   * @throws Error where it is no PPM, or bigger than it may be
   */
  async next(): Promise<RgbPicture | undefined> {
    const size = await this.#header();
    if (size === undefined) return undefined;
    const { width, height } = size;
    const bytes = width * height * 3;
    if (!(bytes > 0 && bytes <= this.#maxBytes)) {
      throw new Error(`ffmpeg wrote a picture of ${width} × ${height} pixels, which was not asked for.`);
    }
    const data = new Uint8Array(bytes);
    for (let filled = 0; filled < bytes;) {
      if (this.#rest.length === 0 && !(await this.#more())) return undefined;
      const taken = this.#rest.copy(data, filled);
      this.#rest = this.#rest.subarray(taken);
      filled += taken;
    }
    return { width, height, data };
  }

  async #header(): Promise<{ width: number; height: number } | undefined> {
    for (;;) {
      const head = this.#rest.toString('latin1', 0, MAX_HEADER);
      const fields = /^P6\s(\d+)\s(\d+)\s255\s/.exec(head);
      if (fields !== null) {
        this.#rest = this.#rest.subarray(fields[0].length);
        return { width: Number(fields[1]), height: Number(fields[2]) };
      }
      if (head.length === MAX_HEADER) throw new Error('ffmpeg wrote something that is no PPM.');
      if (!(await this.#more())) return undefined;
    }
  }

  /** Adds what comes next to what is left; false where the stream has ended. */
  async #more(): Promise<boolean> {
    const chunk = await this.#chunks.next();
    if (chunk.done === true) return false;
    this.#rest = this.#rest.length === 0 ? chunk.value : Buffer.concat([this.#rest, chunk.value]);
    return true;
  }
}
