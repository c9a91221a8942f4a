import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import decode, { init } from '@jsquash/jpeg/decode.js';

/** Pictures of more pixels are left to sharp, which decodes them outside of the main thread. */
const MAX_PIXELS = 128 * 128;

/**
 * Decodes a small JPEG file in this thread. sharp takes 0.3 ms and three changes of thread to set up its work for any
 * picture; this takes a tenth of that for a picture of 32 × 32, and gives the same pixels, since libjpeg is under both.
 * @param bytes - the encoded file
 * @param width - pixels that the picture must have, as `height`; nothing is resized here
 * @returns `[height, width, 4]`, RGBA interleaved; undefined where the file is anything but a plain baseline colour
 *   JPEG of this size and at most 128 × 128, or is damaged: sharp then decodes it, or says what is wrong
 */
export async function decodeSmallJpeg(
  bytes: Uint8Array,
  width: number,
  height: number,
): Promise<Uint8ClampedArray | undefined> {
  if (width * height > MAX_PIXELS || !isPlainJpeg(bytes, width, height)) return undefined;
  try {
    await (decoder ??= startDecoder());
    const picture = (await decode(bytes as unknown as ArrayBuffer)) as { readonly data: Uint8ClampedArray };
    return picture.data;
  } catch {
    // A decoder that failed halfway keeps what it had allocated; the next picture gets a new one.
    decoder = undefined;
    return undefined;
  }
}

let decoder: Promise<void> | undefined;

async function startDecoder(): Promise<void> {
  const file = createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');
  await init({ wasmBinary: (await readFile(file)).buffer, print: ignore, printErr: ignore });
}

function ignore(): void {
  // What the decoder writes to the console, the caller learns from its failure.
}

// The decoder wraps its pixels in the class that browsers have for that.
(globalThis as { ImageData?: unknown }).ImageData ??= class {
  constructor(
    readonly data: Uint8ClampedArray,
    readonly width: number,
    readonly height: number,
  ) {}
};

/**
 * Whether a file is a whole JPEG (ITU T.81) of the baseline process, 8 bits and three components, of this size,
 * without what would change its pixels after decoding: EXIF (orientation), ICC profiles, Adobe's colour transforms.
 */
function isPlainJpeg(bytes: Uint8Array, width: number, height: number): boolean {
  const end = bytes.length;
  if (end < 4 || bytes[0] !== 0xff || bytes[1] !== 0xd8) return false;
  if (bytes[end - 2] !== 0xff || bytes[end - 1] !== 0xd9) return false;
  for (let at = 2; at + 9 < end && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xc0) {
      const size = (offset: number): number => bytes[at + offset] * 256 + bytes[at + offset + 1];
      return bytes[at + 4] === 8 && size(5) === height && size(7) === width && bytes[at + 9] === 3;
    }
    // Tables, restart interval, JFIF header and comments may stand before the frame.
    if (![0xdb, 0xc4, 0xdd, 0xe0, 0xfe].includes(marker)) return false;
    at += 2 + bytes[at + 2] * 256 + bytes[at + 3];
  }
  return false;
}
