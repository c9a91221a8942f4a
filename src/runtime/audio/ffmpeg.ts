import { BallastError, messageOf } from '../../errors.js';
import { FfmpegProcess, isNotInstalled, lastComplaint } from '../ffmpeg-process.js';
import { inTurns } from './in-turns.js';
import type { StopSignal } from '../stop-signal.js';

/** Milliseconds that ffmpeg may take for a recording. */
const TIME_LIMIT_MS = 20_000;
/** Bytes of a single allocation of its. */
const MAX_ALLOCATION = 1 << 28;
const VALUES_A_TURN = 1 << 18;

export interface FfmpegOptions {
  /** The rate in Hz that the sound is resampled to. */
  readonly sampleRate: number;
  /** Samples that are wanted; later ones are not decoded. */
  readonly most: number;
  /** Names the file in errors, for instance `audio[3]`. */
  readonly name: string;
  readonly signal?: StopSignal | undefined;
  /** Milliseconds that it may take. */
  readonly timeLimitMs?: number;
}

/**
 * Decodes whatever the installed ffmpeg decodes: MP3, FLAC, Ogg, Opus, AAC, WebM, the sound of a video. The file goes
 * through a pipe; ffmpeg can open nothing else, neither files nor addresses that a playlist names.
 * @param bytes - the file
 * @returns the first sound track as `[at most most]` samples in [-1, 1] at the wanted rate, its channels mixed to one
 *   by ffmpeg
 * @throws BallastError unsupported-media-type where no ffmpeg is installed or it finds no sound, invalid-input where
 *   the file is damaged, deadline-exceeded where it takes too long; the signal's reason where that is aborted
 */
export async function decodeWithFfmpeg(bytes: Uint8Array, options: FfmpegOptions): Promise<Float32Array> {
  const { name, signal, timeLimitMs = TIME_LIMIT_MS } = options;
  signal?.throwIfAborted();
  const { samples, complaint, failure } = await runFfmpeg(bytes, options);
  signal?.throwIfAborted();
  if (failure === 'too slow') {
    throw new BallastError(
      'deadline-exceeded',
      `${name} took ffmpeg more than ${timeLimitMs / 1000} s to decode; send a shorter recording, or WAV.`,
    );
  }
  if (failure instanceof Error) throw notStarted(failure, name);
  if (samples.length === 0) throw noSound(complaint, name);
  await inTurns(samples.length, VALUES_A_TURN, (begin, end) => {
    for (let i = begin; i < end; i++) {
      const value = samples[i];
      samples[i] = value >= -1 ? Math.min(value, 1) : value < -1 ? -1 : 0;
    }
  });
  return samples;
}

interface Outcome {
  readonly samples: Float32Array;
  /** What ffmpeg wrote to its standard error. */
  readonly complaint: string;
  readonly failure: Error | 'too slow' | undefined;
}

/** Runs until ffmpeg ends, gave what is wanted, or is killed. */
async function runFfmpeg(
  bytes: Uint8Array,
  { sampleRate, most, signal, timeLimitMs = TIME_LIMIT_MS }: FfmpegOptions,
): Promise<Outcome> {
  const out = Buffer.from(new ArrayBuffer(most * 4));
  let filled = 0;
  const args = ffmpegArguments(sampleRate, most);
  const ffmpeg = new FfmpegProcess({ program: 'ffmpeg', args, input: true, signal, timeLimitMs });
  ffmpeg.stdout.on('data', (chunk: Buffer) => {
    filled += chunk.copy(out, filled);
    if (filled === out.length) ffmpeg.kill();
  });
  // It may end before it has read all: what it has to say of that, it says elsewhere.
  ffmpeg.stdin.on('error', ignore);
  ffmpeg.stdin.end(bytes);
  await ffmpeg.closed;
  const { complaint, failure } = ffmpeg;
  return { samples: new Float32Array(out.buffer, 0, filled >> 2), complaint, failure };
}

function ffmpegArguments(sampleRate: number, most: number): string[] {
  const general = ['-nostdin', '-hide_banner', '-loglevel', 'error', '-max_alloc', String(MAX_ALLOCATION)];
  const input = ['-threads', '1', '-protocol_whitelist', 'pipe', '-i', 'pipe:0'];
  const track = ['-map', '0:a:0', '-vn', '-sn', '-dn', '-map_metadata', '-1', '-threads', '1'];
  // A tenth of a second more than is wanted, which is cut: what ffmpeg rounds is not missing.
  const sound = ['-t', (most / sampleRate + 0.1).toFixed(3), '-ac', '1', '-ar', String(sampleRate)];
  return [...general, ...input, ...track, ...sound, '-f', 'f32le', 'pipe:1'];
}

function notStarted(error: Error, name: string): BallastError {
  return isNotInstalled(error)
    ? new BallastError(
        'unsupported-media-type',
        `${name} is no WAV file of PCM, IEEE float, A-law or µ-law. Send WAV; other formats are decoded by ffmpeg, which is not installed on this server.`,
        { cause: error },
      )
    : new BallastError('internal', `ffmpeg could not be started for ${name} (${messageOf(error)}).`, {
        cause: error,
      });
}

function noSound(complaint: string, name: string): BallastError {
  const said = lastComplaint(complaint);
  if (/matches no streams/.test(complaint)) {
    return new BallastError('unsupported-media-type', `${name} holds no sound.`);
  }
  if (/moov atom not found|partial file/.test(complaint)) {
    return new BallastError(
      'invalid-input',
      `${name} is cut short, or has its index at the end, so that it cannot be read as a stream; write it with ffmpeg's "-movflags +faststart", or send WAV.`,
    );
  }
  if (/Invalid data found/.test(complaint)) {
    return new BallastError(
      'unsupported-media-type',
      `${name} is not a recording that can be read; send WAV, or what ffmpeg decodes, such as MP3, FLAC, Ogg or AAC.`,
    );
  }
  return new BallastError(
    'invalid-input',
    `${name} is damaged or empty: ffmpeg decoded no sound${said === undefined ? '' : ` (${said})`}.`,
  );
}

function ignore(): void {
  // See where it is given.
}
