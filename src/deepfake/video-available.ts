import { BallastError, messageOf } from '../errors.js';
import { FfmpegProcess, isNotInstalled } from '../runtime/ffmpeg-process.js';

const TIME_LIMIT_MS = 10_000;

/** The programs that read videos on this machine. */
export interface VideoTools {
  /** The version of ffmpeg as it says it, for instance `5.1.6-0+deb12u1`. */
  readonly ffmpeg: string;
}

/** The search path that was looked through last, and what was found there. */
let found: { readonly path: string | undefined; readonly tools: Promise<VideoTools | undefined> } | undefined;

/**
 * Whether this server can read videos: both ffmpeg and ffprobe must be found in PATH and start. They are looked for
 * once, and again only where PATH has changed since.
 * @returns the version of ffmpeg; undefined where either program is missing or does not start
 */
export async function videoAvailable(): Promise<VideoTools | undefined> {
  const path = process.env.PATH;
  if (found?.path !== path) found = { path, tools: findTools() };
  return found!.tools;
}

/**
 * The programs that read videos.
 * @throws BallastError unavailable where they are not installed
 */
export async function requireVideoTools(): Promise<VideoTools> {
  const tools = await videoAvailable();
  if (tools === undefined) throw notInstalled();
  return tools;
}

/**
 * The error of an ffmpeg or ffprobe that did not start.
 * @param failure - what `FfmpegProcess.failure` says
 */
export function notStarted(failure: Error): BallastError {
  return isNotInstalled(failure)
    ? notInstalled(failure)
    : new BallastError('internal', `ffmpeg could not be started for the video (${messageOf(failure)}).`, {
        cause: failure,
      });
}

function notInstalled(cause?: Error): BallastError {
  return new BallastError(
    'unavailable',
    'Videos are read by ffmpeg, which is not installed on this server: install ffmpeg (its package holds ffprobe, which is needed too), or send pictures of the frames.',
    { cause },
  );
}

async function findTools(): Promise<VideoTools | undefined> {
  const [ffmpeg, ffprobe] = await Promise.all([versionOf('ffmpeg'), versionOf('ffprobe')]);
  return ffmpeg === undefined || ffprobe === undefined ? undefined : { ffmpeg };
}

async function versionOf(program: 'ffmpeg' | 'ffprobe'): Promise<string | undefined> {
  const started = new FfmpegProcess({ program, args: ['-version'], timeLimitMs: TIME_LIMIT_MS });
  let said = '';
  started.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (said.length < 200) said += text;
  });
  await started.closed;
  return /^ff\w+ version (\S+)/.exec(said)?.[1];
}
