import type { VideoLimits } from './video-limits.js';

/**
 * The formats that ffmpeg may take a file for, by the names of its demuxers: containers of one video, and WAV, MP3,
 * FLAC and AAC so that sound can be told from what is no recording. None of these opens another file, as playlists,
 * concat scripts, session descriptions and numbered pictures do.
 */
const FORMATS = [
  ...['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2', 'matroska', 'webm', 'avi', 'mpegts', 'mpeg', 'mpegvideo'],
  ...['flv', 'ogg', 'asf', 'gif', 'wav', 'mp3', 'flac', 'aac'],
];

/** Bytes of a single allocation. */
const MAX_ALLOCATION = 1 << 28;

/**
 * What every ffprobe and ffmpeg is told before it is given an upload: say errors only, open nothing but the one file,
 * and refuse frames that are too big before memory is taken for them.
 * @param limits - `maxPixels` is what its decoders get
 * @returns arguments for ahead of the input
 */
export function guardedArguments(limits: VideoLimits): string[] {
  return [
    ...['-hide_banner', '-loglevel', 'error', '-max_alloc', String(MAX_ALLOCATION)],
    ...['-protocol_whitelist', 'file,pipe', '-format_whitelist', FORMATS.join(',')],
    ...['-max_pixels', String(limits.maxPixels)],
  ];
}

/**
 * A path as ffmpeg's input.
 * @param path - of a file of this server's own naming
 * @returns it with its protocol named, so that no part of the path is taken for one
 */
export function inputOf(path: string): string {
  return `file:${path}`;
}
