import { stat } from 'node:fs/promises';
import { BallastError } from '../errors.js';
import { FfmpegProcess, lastComplaint } from '../runtime/ffmpeg-process.js';
import { notStarted, requireVideoTools } from './video-available.js';
import { guardedArguments, inputOf } from './video-input.js';
import { DEFAULT_VIDEO_LIMITS, type VideoLimits } from './video-limits.js';
import { countPackets } from './video-packets.js';
import {
  positive,
  reportedRate,
  reportedSeconds,
  shownSize,
  videoTrack,
  type ReportedStream,
  type VideoReport,
} from './video-report.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** What is known of a video before a frame of it is decoded. */
export interface VideoInfo {
  /** Length of the video track in seconds, above 0. */
  readonly seconds: number;
  /** Number of frames, at least 1: as the header has it or counted, for big files without either seconds × rate. */
  readonly frames: number;
  /** The mean rate. */
  readonly framesPerSecond: number;
  /** Pixels of a frame as it is shown: turned as the file asks, its pixels made square. */
  readonly width: number;
  readonly height: number;
  /** The codec as ffmpeg names it, for instance `h264`. */
  readonly codec: string;
  /** The container as ffmpeg names it, for instance `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly format: string;
  /** Seconds from the start of the file, which a longer sound track may set, to the first frame; 0 in most. */
  readonly startSeconds: number;
}

/** Bytes up to which a file is read through to count frames where its header does not say how many there are. */
const MAX_BYTES_COUNTED = 1 << 26;
/** Most characters of a report: a container of thousands of streams is no video. */
const MAX_REPORT = 1 << 22;

/**
 * What a video is, by ffprobe. Nothing but the file is opened, whatever it names; frames are looked at only as far as
 * ffprobe needs to know their size.
 * @param path - a file of this server's own naming, best without an extension: one named like a picture is refused
 * @param limits - what the video may be
 * @param signal - kills ffprobe when aborted
 * @throws BallastError unsupported-media-type where it is neither video nor sound, or sound only; invalid-input where
 *   it is empty or broken; impossible where it holds no frame; too-large where it is too long or its frames are too
 *   big; deadline-exceeded where it takes too long; unavailable where no ffprobe is installed. The signal's reason
 *   where that is aborted
 */
export async function probeVideo(
  path: string,
  limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
  signal?: StopSignal,
): Promise<VideoInfo> {
  signal?.throwIfAborted();
  await requireVideoTools();
  const { size } = await stat(path);
  if (size === 0) throw new BallastError('invalid-input', 'The video is an empty file (0 bytes).');
  const report = await reportOf(path, limits, signal);
  const track = videoTrack(report);
  if (track === undefined) throw withoutPictures(report);
  const { width = 0, height = 0, codec_name: codec = 'unknown' } = track;
  if (width * height > limits.maxPixels) throw tooBig(width, height, limits);
  const known = reportedSeconds(track, report);
  if (known !== undefined) checkLength(known, limits);
  const { seconds, frames, framesPerSecond } = await extentOf(path, size, { track, report, limits, signal });
  checkLength(seconds, limits);
  if (frames < 1) {
    throw new BallastError('impossible', 'The video holds no frames: its video track is empty.');
  }
  if (width < 1 || height < 1) {
    throw new BallastError(
      'invalid-input',
      `The video is broken: no frame of its ${codec} track can be read.`,
    );
  }
  const begin = Number(track.start_time) - Number(report.format.start_time);
  const startSeconds = begin > 0 ? begin : 0;
  const format = report.format.format_name ?? 'unknown';
  return { seconds, frames, framesPerSecond, ...shownSize(track), codec, format, startSeconds };
}

/**
 * The error of a video that took ffprobe or ffmpeg too long.
 * @param limits - whose `timeoutMs` it is
 */
export function tooSlow({ timeoutMs }: VideoLimits): BallastError {
  return new BallastError(
    'deadline-exceeded',
    `The video took more than ${timeoutMs / 1000} s to read; send a shorter one, or one of a smaller size.`,
  );
}

async function reportOf(
  path: string,
  limits: VideoLimits,
  signal: StopSignal | undefined,
): Promise<VideoReport> {
  const args = [...guardedArguments(limits), '-show_format', '-show_streams', '-of', 'json', inputOf(path)];
  const ffprobe = new FfmpegProcess({ program: 'ffprobe', args, signal, timeLimitMs: limits.timeoutMs });
  let json = '';
  ffprobe.stdout.setEncoding('utf8').on('data', (text: string) => {
    json += text;
    if (json.length > MAX_REPORT) ffprobe.kill();
  });
  await ffprobe.closed;
  signal?.throwIfAborted();
  const { failure, complaint } = ffprobe;
  if (failure === 'too slow') throw tooSlow(limits);
  if (failure !== undefined) throw notStarted(failure);
  const report = parsed(json);
  const track = report && videoTrack(report);
  // A decoder that refuses the size leaves it at 0, or ends ffprobe.
  const refused = /Picture size (\d+)x(\d+) (?:exceeds|is invalid)/.exec(complaint);
  if (refused !== null && !(track?.width && track.height)) {
    const [width, height] = [Number(refused[1]), Number(refused[2])];
    if (width * height > limits.maxPixels) throw tooBig(width, height, limits);
  }
  if (report === undefined) throw notUnderstood(complaint);
  return report;
}

/** Whatever ffprobe wrote, as far as it is a whole report. */
function parsed(json: string): VideoReport | undefined {
  try {
    const { streams, format } = JSON.parse(json) as Partial<VideoReport>;
    return streams === undefined || format === undefined ? undefined : { streams, format };
  } catch {
    return undefined;
  }
}

interface Extent {
  readonly seconds: number;
  readonly frames: number;
  readonly framesPerSecond: number;
}

interface Probed {
  readonly track: ReportedStream;
  readonly report: VideoReport;
  readonly limits: VideoLimits;
  readonly signal: StopSignal | undefined;
}

/** How long a video is and how many frames it has: by its header where that is sound, else by its packets. */
async function extentOf(path: string, bytes: number, probed: Probed): Promise<Extent> {
  const { track, report, limits, signal } = probed;
  const [rate, seconds] = [reportedRate(track), reportedSeconds(track, report)];
  const expected = rate && seconds && Math.max(1, Math.round(rate * seconds));
  const frames = positive(track.nb_frames);
  // The header of a fragmented MP4 may count the first fragment only, that of an AVI what was meant to be written.
  if (frames && expected && Math.abs(frames - expected) <= Math.max(2, 0.05 * expected)) {
    return { seconds: seconds, frames, framesPerSecond: rate };
  }
  if (expected && bytes > MAX_BYTES_COUNTED) {
    return { seconds: seconds, frames: expected, framesPerSecond: rate };
  }
  const { packets, span, failure } = await countPackets(path, track.index, limits, signal);
  signal?.throwIfAborted();
  if (failure === 'too slow') throw tooSlow(limits);
  if (failure !== undefined) throw notStarted(failure);
  const fits = rate !== undefined && (span === 0 || Math.abs(rate * span - (packets - 1)) < 0.5);
  const framesPerSecond = fits ? rate : span > 0 ? (packets - 1) / span : (rate ?? 25);
  return { seconds: seconds ?? span + 1 / framesPerSecond, frames: packets, framesPerSecond };
}

function checkLength(seconds: number, { maxSeconds }: VideoLimits): void {
  if (seconds <= maxSeconds) return;
  throw new BallastError(
    'too-large',
    `The video lasts ${Math.round(seconds)} s, more than the ${maxSeconds} s that are taken; send a part of it.`,
  );
}

function tooBig(width: number, height: number, { maxPixels }: VideoLimits): BallastError {
  return new BallastError(
    'too-large',
    `The video's frames have ${width} × ${height} pixels, more than the ${maxPixels} that are taken; scale it down.`,
  );
}

function withoutPictures({ streams }: VideoReport): BallastError {
  const message = streams.some((stream) => stream.codec_type === 'audio')
    ? 'The file holds sound and no video track (a cover picture is none); send a video, or pictures.'
    : 'The file holds neither a video track nor sound; send a video, or pictures.';
  return new BallastError('unsupported-media-type', message);
}

function notUnderstood(complaint: string): BallastError {
  const said = lastComplaint(complaint);
  if (/moov atom not found|partial file|truncat/i.test(complaint)) {
    return new BallastError(
      'invalid-input',
      'The video is cut short: the index that its container keeps at its end is missing. Send the whole file.',
    );
  }
  if (/End of file/.test(complaint)) {
    return new BallastError(
      'invalid-input',
      'The video breaks off before its first frame. Send the whole file.',
    );
  }
  if (said === undefined || /Invalid data found|not on whitelist|Invalid argument/i.test(complaint)) {
    return new BallastError(
      'unsupported-media-type',
      'The file is no video that can be read; send MP4, MOV, WebM, Matroska, AVI, MPEG, FLV, Ogg, WMV or GIF.',
    );
  }
  const readable = said.replace(/^file:\S*:\s*/, '');
  return new BallastError('invalid-input', `The video is broken: ffprobe could not open it (${readable}).`);
}
