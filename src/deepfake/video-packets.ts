import { FfmpegProcess } from '../runtime/ffmpeg-process.js';
import { guardedArguments, inputOf } from './video-input.js';
import type { VideoLimits } from './video-limits.js';
import type { StopSignal } from '../runtime/stop-signal.js';

/** What the packets of a video track tell where the container's header does not. */
export interface PacketCount {
  /** How many there are; one holds a frame, in all but rare codecs. */
  readonly packets: number;
  /** Seconds from the first frame shown to the last, 0 where packets have no time. */
  readonly span: number;
}

/**
 * Reads through a file without decoding it, and counts the packets of its video track. It stops where they span more
 * than `limits.maxSeconds`.
 * @param path - the file
 * @param stream - which stream of the file is the video track
 * @returns the count, and what ended ffprobe early
 */
export async function countPackets(
  path: string,
  stream: number,
  limits: VideoLimits,
  signal: StopSignal | undefined,
): Promise<PacketCount & { readonly failure: Error | 'too slow' | undefined }> {
  const args = [
    ...guardedArguments(limits),
    ...['-select_streams', String(stream), '-show_entries', 'packet=pts_time,dts_time', '-of', 'csv=p=0'],
    inputOf(path),
  ];
  const ffprobe = new FfmpegProcess({ program: 'ffprobe', args, signal, timeLimitMs: limits.timeoutMs });
  let [packets, first, last, rest] = [0, Infinity, -Infinity, ''];
  ffprobe.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === '') continue;
      packets++;
      const seconds = line.split(',').map(Number).find(Number.isFinite);
      if (seconds === undefined) continue;
      first = Math.min(first, seconds);
      last = Math.max(last, seconds);
    }
    if (last - first > limits.maxSeconds) ffprobe.kill();
  });
  await ffprobe.closed;
  return { packets, span: last > first ? last - first : 0, failure: ffprobe.failure };
}
