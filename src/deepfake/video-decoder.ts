import { FfmpegProcess } from '../runtime/ffmpeg-process.js';
import { guardedArguments, inputOf } from './video-input.js';
import type { VideoLimits } from './video-limits.js';
import { PpmReader, type RgbPicture } from './video-pictures.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** The first frame that is shown at a time or later. */
export interface SoughtTime {
  /** Seconds from the start of the file. */
  readonly time: number;
  /** Seconds by which decoding begins earlier, for containers in which a jump may end behind the frame. */
  readonly ahead: number;
}

/** What one ffmpeg is to decode. */
export interface Decoding {
  readonly path: string;
  /** Which frames: those of these numbers, rising, or one at a time. */
  readonly wanted: readonly number[] | SoughtTime;
  /** The size in pixels that frames are scaled to. */
  readonly width: number;
  readonly height: number;
  /** Threads of the decoder. */
  readonly threads: number;
  /** The version of ffmpeg. */
  readonly version: string;
}

/** A picture and when it is shown, in seconds from the start of the file; NaN where it has no time. */
export type TimedPicture = RgbPicture & { readonly seconds: number };

/**
 * One ffmpeg that decodes chosen frames of a video. It is held up as long as they are not taken: of the pictures no more
 * is in this process than the one that is being taken.
 */
export class VideoDecoder {
  readonly #ffmpeg: FfmpegProcess;
  readonly #pictures: PpmReader;
  readonly #times: FrameTimes;
  #taken = 0;

  /** @param decoding - what it decodes; it starts at once. @param signal - kills it when aborted */
  constructor(decoding: Decoding, limits: VideoLimits, signal: StopSignal | undefined) {
    const args = decoderArguments(decoding, limits);
    this.#ffmpeg = new FfmpegProcess({ program: 'ffmpeg', args, sideOutput: true, signal });
    this.#pictures = new PpmReader(this.#ffmpeg.stdout, decoding.width * decoding.height * 3);
    this.#times = new FrameTimes(this.#ffmpeg);
  }

  /** Why it did not start, or that it was killed for being too slow. */
  get failure(): Error | 'too slow' | undefined {
    return this.#ffmpeg.failure;
  }

  /** The end of what it complained of. */
  get complaint(): string {
    return this.#ffmpeg.complaint;
  }

  /**
   * The next of the wanted frames.
   * @param limitMs - milliseconds after which ffmpeg is killed, and `failure` is `too slow`
   * @returns undefined where ffmpeg has ended: after the last frame, or because the rest cannot be decoded
   */
  async next(limitMs: number): Promise<TimedPicture | undefined> {
    const timer = setTimeout(() => {
      this.#ffmpeg.kill('too slow');
    }, limitMs);
    try {
      const picture = await this.#pictures.next();
      if (picture !== undefined) {
        return { ...picture, seconds: await this.#times.at(this.#taken++) };
      }
      await this.#ffmpeg.closed;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Kills it if it still runs, and waits until it is gone. */
  async stop(): Promise<void> {
    await this.#ffmpeg.stop();
  }
}

/** When frames are shown, as ffmpeg's `metadata` filter writes it beside the pictures. */
class FrameTimes {
  readonly #seconds: number[] = [];
  #ended = false;
  #rest = '';
  #heard: (() => void) | undefined;

  constructor({ sideOutput, closed }: FfmpegProcess) {
    sideOutput.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) {
        const time = /pts_time:(\S+)/.exec(line);
        if (time !== null) this.#seconds.push(Number(time[1]));
      }
      this.#heard?.();
    });
    // What ends the pipe is told by the end of the process.
    sideOutput.on('error', () => undefined);
    void closed.then(() => {
      this.#ended = true;
      this.#heard?.();
    });
  }

  /** Of the picture of that number; written before the picture is, so that it is there or on its way. */
  async at(picture: number): Promise<number> {
    while (this.#seconds.length <= picture && !this.#ended) {
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
    return this.#seconds[picture] ?? NaN;
  }
}

function decoderArguments(decoding: Decoding, limits: VideoLimits): string[] {
  const { path, wanted, width, height, threads, version } = decoding;
  const seeks = 'time' in wanted;
  const begin = seeks ? Math.max(0, wanted.time - wanted.ahead) : 0;
  const filters = [
    `select='${seeks ? `gte(t,${wanted.time.toFixed(6)})` : wanted.map((n) => `eq(n,${n})`).join('+')}'`,
    // It prints only frames that have a value, so each gets one.
    'metadata=mode=add:key=chosen:value=1',
    `metadata=mode=print:key=chosen:file='pipe\\:3':direct=1`,
    `scale=${width}:${height},setsar=1`,
  ];
  return [
    ...['-nostdin', '-filter_threads', '1', ...guardedArguments(limits), '-threads', String(threads)],
    // Frames of another size in midstream must not make the filters begin anew: they would count from 0 again.
    ...['-reinit_filter', '0', ...(begin > 0 ? ['-ss', begin.toFixed(6)] : []), '-i', inputOf(path)],
    // Times stay those of the file; counted from where the jump went, they are rounded.
    ...['-copyts', '-start_at_zero', '-map', '0:V:0', '-an', '-sn', '-dn', '-vf', filters.join(',')],
    ...[...eachFrameOnce(version), '-frames:v', String(seeks ? 1 : wanted.length), '-map_metadata', '-1'],
    ...['-c:v', 'ppm', '-pix_fmt', 'rgb24', '-threads', '1', '-f', 'image2pipe', 'pipe:1'],
  ];
}

/** Neither repeats nor drops frames to keep a rate; the option got a new name in 5.1, and loses the old one. */
function eachFrameOnce(version: string): string[] {
  const [, major, minor] = /^n?(\d+)\.(\d+)/.exec(version) ?? [];
  const isOld = Number(major) < 5 || (Number(major) === 5 && Number(minor) < 1);
  return [isOld ? '-vsync' : '-fps_mode', 'passthrough'];
}
