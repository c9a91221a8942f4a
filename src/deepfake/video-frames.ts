import { BallastError } from '../errors.js';
import { lastComplaint } from '../runtime/ffmpeg-process.js';
import { notStarted, requireVideoTools } from './video-available.js';
import { VideoDecoder, type SoughtTime, type TimedPicture } from './video-decoder.js';
import { DEFAULT_VIDEO_LIMITS, type VideoLimits } from './video-limits.js';
import { tooSlow, type VideoInfo } from './video-probe.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** Which frames of a video are wanted, and how big. */
export interface VideoFramesOptions {
  /** How many at most, from 1 to 1024; 32 when left out. */
  readonly count?: number;
  /** Pixels of the longer side at most, from 16 to 8192; bigger frames are scaled down. 1920 when left out. */
  readonly maxSide?: number;
  /**
   * How they are reached: `select` decodes all from the first to the last, `seek` jumps to each. What is faster when
   * left out. Of a video of constant rate both give the same frames; of others, `seek` goes by the mean rate.
   */
  readonly reach?: 'select' | 'seek';
}

/** One frame of a video. */
export interface VideoFrame {
  /** Its number, from 0. Where the rate varies and frames are sought, the number at the mean rate. */
  readonly index: number;
  /** When it is shown, in seconds from the start of the file. */
  readonly seconds: number;
  /** Pixels, after turning and scaling. */
  readonly width: number;
  readonly height: number;
  /** `[height * width * 3]`, RGB, from 0 to 255. */
  readonly data: Uint8Array;
}

/** How reading the frames of a video ended. */
export interface VideoFramesRead {
  /** Wanted frames that could not be read: of a file that is cut short or damaged, or shorter than its header says. */
  readonly missing: number;
}

const MAX_COUNT = 1024;
const [MIN_SIDE, MAX_SIDE] = [16, 8192];

/** Frames from one that is wanted to the next, from which seeking each is faster than decoding all. */
const SEEK_FROM_GAP = 200;
/** Where there is no index: longer than key frames are apart, 250 frames in the most common encoder. */
const SECONDS_AHEAD = 12;
/** Threads of a decoder that goes through the whole video; where each seeks a frame, they run one after another. */
const THREADS = 2;

/**
 * Frame numbers evenly spread from the first to the last: round(linspace(0, frames − 1, count)), each once.
 * @param frames - how many there are, at least 1
 * @param count - how many are wanted at most, at least 1; one is the first
 * @returns rising numbers from 0 to frames − 1, min(frames, count) of them
 */
export function frameIndices(frames: number, count: number): number[] {
  if (count === 1 || frames === 1) return [0];
  const step = (frames - 1) / (count - 1);
  return [...new Set(Array.from({ length: count }, (_, i) => Math.round(i * step)))];
}

/**
 * Frames of a video by ffmpeg, evenly spread and in the order of time. Two of them are in memory at most: the one that
 * was given out, and the one being read; ffmpeg waits meanwhile. It is killed when the consumer stops early (returns
 * from its loop), when the signal is aborted, and when frames have been waited for too long.
 * @param path - the file, as it was given to `probeVideo`
 * @param info - what `probeVideo` said of it
 * @returns in the end how many wanted frames could not be read
 * @throws BallastError invalid-input where an option is wrong or not one frame can be decoded, deadline-exceeded where
 *   it takes too long, unavailable where no ffmpeg is installed; the signal's reason where that is aborted
 */
export async function* videoFrames(
  path: string,
  info: VideoInfo,
  options: VideoFramesOptions = {},
  limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
  signal?: StopSignal,
): AsyncGenerator<VideoFrame, VideoFramesRead, undefined> {
  const { count = 32, maxSide = 1920, reach } = options;
  checkWhole('count', count, 1, MAX_COUNT);
  checkWhole('maxSide', maxSide, MIN_SIDE, MAX_SIDE);
  signal?.throwIfAborted();
  const { ffmpeg: version } = await requireVideoTools();
  const indices = frameIndices(info.frames, count);
  const seeks = reach === undefined ? isSeekingFaster(info, indices.length) : reach === 'seek';
  const runs = seeks ? indices.map((index) => [index]) : [indices];
  const common = { path, ...scaledSize(info, maxSide), version, threads: seeks ? 1 : THREADS };
  let [begun, given, patience, complaint, first] = [0, 0, limits.timeoutMs, '', info.startSeconds];
  const begin = (): VideoDecoder | undefined => {
    if (begun === runs.length) return undefined;
    const run = runs[begun++];
    const wanted = seeks ? timeOf(run[0], first, info) : run;
    return new VideoDecoder({ ...common, wanted }, limits, signal);
  };
  let decoder = begin();
  try {
    for (const run of runs) {
      const current = decoder!;
      for (const index of run) {
        const since = performance.now();
        const picture = await current.next(Math.max(0, patience));
        patience -= performance.now() - since;
        signal?.throwIfAborted();
        if (picture === undefined) break;
        // The time of the first frame is awaited: some containers say too little of it to seek the others by.
        if (index === 0 && Number.isFinite(picture.seconds)) first = picture.seconds;
        given++;
        if (seeks) {
          // It has no more to do; the next begins while this frame is looked at.
          await current.stop();
          decoder = begin();
        }
        yield frameOf(picture, index, info);
        signal?.throwIfAborted();
      }
      await current.stop();
      if (current.failure === 'too slow') throw tooSlow(limits);
      if (current.failure !== undefined) throw notStarted(current.failure);
      if (current.complaint !== '') complaint = current.complaint;
      if (decoder === current) decoder = begin();
    }
  } finally {
    await decoder?.stop();
  }
  if (given === 0) throw unreadable(info, complaint);
  return { missing: indices.length - given };
}

function isSeekingFaster({ frames, framesPerSecond, format }: VideoInfo, count: number): boolean {
  const ahead = hasIndex(format) ? 0 : SECONDS_AHEAD * framesPerSecond;
  return frames / count > SEEK_FROM_GAP + ahead;
}

/** A quarter of a frame early: times that are rounded, to whole frames even, leave no doubt which frame is meant. */
function timeOf(index: number, first: number, { framesPerSecond, format }: VideoInfo): SoughtTime {
  const time = index === 0 ? 0 : first + (index - 0.25) / framesPerSecond;
  return { time, ahead: hasIndex(format) ? 0 : SECONDS_AHEAD };
}

/** Whether a container tells where its key frames are, so that a jump ends at one ahead of the frame. */
function hasIndex(format: string): boolean {
  return /^(?:mov|matroska|avi|flv|asf|gif)\b/.test(format);
}

function frameOf(picture: TimedPicture, index: number, info: VideoInfo): VideoFrame {
  const { seconds, width, height, data } = picture;
  const known = Number.isFinite(seconds) ? seconds : info.startSeconds + index / info.framesPerSecond;
  return { index, seconds: known, width, height, data };
}

/** The size at which the longer side is at most `maxSide`, in the same shape. */
function scaledSize({ width, height }: VideoInfo, maxSide: number): { width: number; height: number } {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

function checkWhole(name: string, value: number, from: number, to: number): void {
  if (Number.isInteger(value) && value >= from && value <= to) return;
  throw new BallastError(
    'invalid-input',
    `${name} is ${value}; it must be a whole number from ${from} to ${to}.`,
  );
}

function unreadable({ codec }: VideoInfo, complaint: string): BallastError {
  const said = lastComplaint(complaint);
  return new BallastError(
    'invalid-input',
    `The video is broken: not one frame of its ${codec} track can be decoded${said === undefined ? '' : ` (${said})`}.`,
  );
}
