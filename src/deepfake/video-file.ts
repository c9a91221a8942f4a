/** Brands of ISO base media files (ISO/IEC 14496-12) that hold pictures: AVIF (AV1 image), HEIF and HEIC. */
const PICTURE_BRANDS = new Set([
  'avif',
  'avis',
  'mif1',
  'msf1',
  'heic',
  'heix',
  'hevc',
  'hevx',
  'heim',
  'heis',
  'avci',
]);
const SOUND_BRANDS = new Set(['M4A ', 'M4B ', 'M4P ', 'F4A ', 'F4B ']);

/** Boxes that a QuickTime file without `ftyp` begins with. */
const QUICKTIME_BOXES = new Set(['moov', 'mdat', 'wide', 'free', 'skip', 'pnot']);

const ASF_HEADER = [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11];
const TS_PACKET_BYTES = [188, 192, 204];

/**
 * Whether a file is of a kind that holds a video, by its first bytes: MP4, MOV, 3GP, Matroska, WebM, AVI, MPEG-TS,
 * MPEG-PS, FLV, Ogg and ASF (WMV). It may hold sound only, or be broken: only `probeVideo` knows.
 * @param head - the first bytes of the file, 4096 where there are as many; a dozen are enough for all but MPEG-TS
 */
export function isVideo(head: Uint8Array): boolean {
  const type = textAt(head, 4, 4);
  if (type === 'ftyp') {
    const brand = textAt(head, 8, 4);
    return !PICTURE_BRANDS.has(brand) && !SOUND_BRANDS.has(brand);
  }
  if (QUICKTIME_BOXES.has(type)) return true;
  if (textAt(head, 0, 4) === 'RIFF') return textAt(head, 8, 4) === 'AVI ';
  return (
    startsWith(head, [0x1a, 0x45, 0xdf, 0xa3]) || // EBML: Matroska and WebM
    startsWith(head, [0, 0, 1, 0xba]) || // the pack header of an MPEG program stream
    startsWith(head, ASF_HEADER) ||
    textAt(head, 0, 4) === 'FLV\u0001' ||
    textAt(head, 0, 4) === 'OggS' ||
    isTransportStream(head)
  );
}

/**
 * Whether a file is of a kind that holds sound only, by its first bytes: WAV, MP3, FLAC, AAC (ADTS) and M4A. Ogg may
 * hold either and counts as a video.
 * @param head - the first bytes of the file, a dozen or more
 */
export function isAudio(head: Uint8Array): boolean {
  const start = textAt(head, 0, 4);
  if (start === 'RIFF' || start === 'RF64') return textAt(head, 8, 4) === 'WAVE';
  if (textAt(head, 4, 4) === 'ftyp') return SOUND_BRANDS.has(textAt(head, 8, 4));
  return start === 'fLaC' || start.startsWith('ID3') || isMpegAudioFrame(head);
}

/** MPEG audio frames and ADTS begin with 11 ones (12 in ADTS); of the fields after them not all values exist. */
function isMpegAudioFrame(head: Uint8Array): boolean {
  if (head.length < 4 || head[0] !== 0xff || (head[1] & 0xe0) !== 0xe0) return false;
  const [version, layer] = [(head[1] >> 3) & 3, (head[1] >> 1) & 3];
  if (layer === 0) return (head[1] & 0xf0) === 0xf0 && ((head[2] >> 2) & 15) < 13;
  const [bitRate, sampleRate] = [head[2] >> 4, (head[2] >> 2) & 3];
  // Layer I (3) is not used any more, and a text in UTF-16 begins like it.
  return layer !== 3 && version !== 1 && bitRate !== 15 && sampleRate !== 3;
}

/** Packets of one size, each beginning with 0x47, possibly after a time stamp of 4 bytes: three in a row are enough. */
function isTransportStream(head: Uint8Array): boolean {
  return TS_PACKET_BYTES.some((size) => {
    const first = size === 192 ? 4 : 0;
    return [0, 1, 2].every((packet) => head[first + packet * size] === 0x47);
  });
}

function startsWith(head: Uint8Array, bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => head[i] === byte);
}

function textAt(head: Uint8Array, begin: number, length: number): string {
  return String.fromCharCode(...head.subarray(begin, begin + length));
}
