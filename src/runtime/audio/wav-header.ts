import { BallastError } from '../../errors.js';

/** What can be decoded here. */
export type WavEncoding = 'pcm8' | 'pcm16' | 'pcm24' | 'pcm32' | 'float32' | 'float64' | 'alaw' | 'mulaw';

/** What a WAV file says of its samples. */
export interface WavHeader {
  /** Undefined where it is one that is not decoded here. */
  readonly encoding: WavEncoding | undefined;
  /** The format in words, for instance `0x0011 (4 bits)`. */
  readonly description: string;
  readonly channels: number;
  /** Samples a second and channel. */
  readonly sampleRate: number;
  readonly bytesPerValue: number;
  /** Where in the file the samples begin. */
  readonly dataBegin: number;
  /** Samples a channel, at least 1; 0 where the encoding is undefined, as is `bytesPerValue`. */
  readonly frames: number;
}

/** Beyond what any recording has; the bound of what resampling costs. */
export const MAX_SAMPLE_RATE = 1_536_000;

/** Who writes to a pipe writes a size like this into the header: ffmpeg 2^32 - 1, sox and arecord about 2^31. */
const STREAMED = 0x7fff_0000;

const FORMATS: Readonly<Record<number, Readonly<Record<number, WavEncoding>> | undefined>> = {
  0x0001: { 8: 'pcm8', 16: 'pcm16', 24: 'pcm24', 32: 'pcm32' },
  0x0003: { 32: 'float32', 64: 'float64' },
  0x0006: { 8: 'alaw' },
  0x0007: { 8: 'mulaw' },
};
const EXTENSIBLE = 0xfffe;
/** What follows the format's number in the GUID of an extensible format. */
const GUID_TAIL = '000000001000800000aa00389b71';

interface Chunk {
  readonly begin: number;
  /** As the file has it. */
  readonly size: number;
}

/**
 * Reads what comes before and after the samples of a WAV file.
 * @param bytes - the file
 * @param name - names it in errors
 * @returns undefined where it is no WAV file
 * @throws BallastError invalid-input where it is one, but damaged, cut short or without samples
 */
export function readWavHeader(bytes: Uint8Array, name: string): WavHeader | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const form = file.toString('latin1', 0, 4);
  if (!['RIFF', 'RF64', 'BW64'].includes(form) || file.toString('latin1', 8, 12) !== 'WAVE') return undefined;
  const chunks = readChunks(file);
  const format = chunks.get('fmt ');
  const data = chunks.get('data');
  if (format === undefined) throw chunkMissing(file, 'fmt', name);
  const sound = readFormat(file, format, name);
  if (data === undefined) throw chunkMissing(file, 'data', name);
  const size = dataSize(file, data, chunks.get('ds64'), name);
  if (sound.encoding === undefined) return { ...sound, bytesPerValue: 0, dataBegin: data.begin, frames: 0 };
  const bytesPerValue = sound.bits / 8;
  const frameSize = bytesPerValue * sound.channels;
  if (sound.blockAlign !== 0 && sound.blockAlign !== frameSize) {
    throw damaged(
      name,
      `says that a frame has ${sound.blockAlign} bytes, but ${sound.channels} channels of ${sound.bits} bits have ${frameSize}`,
    );
  }
  const frames = Math.floor(size / frameSize);
  if (frames === 0) throw damaged(name, 'holds no samples');
  return { ...sound, bytesPerValue, dataBegin: data.begin, frames };
}

/** The first chunk of each name, up to where the file ends. */
function readChunks(file: Buffer): Map<string, Chunk> {
  const chunks = new Map<string, Chunk>();
  for (let at = 12; at + 8 <= file.length;) {
    const name = file.toString('latin1', at, at + 4);
    const size = file.readUInt32LE(at + 4);
    if (!chunks.has(name)) chunks.set(name, { begin: at + 8, size });
    // A chunk of odd size has one more byte after it.
    at += 8 + size + (size % 2);
  }
  return chunks;
}

function readFormat(
  file: Buffer,
  { begin, size }: Chunk,
  name: string,
): Omit<WavHeader, 'bytesPerValue' | 'dataBegin' | 'frames'> & { bits: number; blockAlign: number } {
  const there = Math.min(size, file.length - begin);
  if (there < 16) throw damaged(name, `is cut short: its fmt chunk has ${there} bytes in place of 16`);
  let tag = file.readUInt16LE(begin);
  const channels = file.readUInt16LE(begin + 2);
  const sampleRate = file.readUInt32LE(begin + 4);
  const blockAlign = file.readUInt16LE(begin + 12);
  const bits = file.readUInt16LE(begin + 14);
  if (tag === EXTENSIBLE && there >= 40 && file.toString('hex', begin + 26, begin + 40) === GUID_TAIL) {
    tag = file.readUInt16LE(begin + 24);
  }
  if (channels === 0) throw damaged(name, 'has 0 channels');
  if (sampleRate === 0 || sampleRate > MAX_SAMPLE_RATE) {
    throw damaged(name, `has a sample rate of ${sampleRate} Hz; 1 to ${MAX_SAMPLE_RATE} can be read`);
  }
  const description = `0x${tag.toString(16).padStart(4, '0')} (${bits} bits)`;
  return { encoding: FORMATS[tag]?.[bits], description, channels, sampleRate, bits, blockAlign };
}

/** Bytes of samples, where all of them are there. */
function dataSize(file: Buffer, data: Chunk, large: Chunk | undefined, name: string): number {
  const there = file.length - data.begin;
  let size = data.size;
  if (size === 0xffff_ffff && large !== undefined && large.begin + 16 <= file.length) {
    size = Number(file.readBigUInt64LE(large.begin + 8));
  } else if (size >= STREAMED || (size === 0 && isStreamed(file))) {
    return there;
  }
  if (size > there) {
    throw damaged(
      name,
      `is cut short: its header promises ${size} bytes of samples and ${there} are there, so ${size - there} are missing`,
    );
  }
  return size;
}

/** Whether the size of the whole file was left open, as by who never came to fill it in. */
function isStreamed(file: Buffer): boolean {
  const size = file.readUInt32LE(4);
  return size === 0 || size >= STREAMED;
}

function chunkMissing(file: Buffer, chunk: string, name: string): BallastError {
  const promised = file.readUInt32LE(4) + 8;
  const isCut = !isStreamed(file) && promised > file.length;
  return damaged(
    name,
    isCut
      ? `is cut short before its ${chunk} chunk: ${promised - file.length} of ${promised} bytes are missing`
      : `has no ${chunk} chunk in its ${file.length} bytes`,
  );
}

function damaged(name: string, what: string): BallastError {
  return new BallastError('invalid-input', `${name} is a WAV file that ${what}.`);
}
