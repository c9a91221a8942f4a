import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs ffmpeg.
 * @param args - without the program
 * @param input - what it reads on its standard input, piece by piece
 * @throws Error with its last words where it fails
 */
export async function runFfmpeg(args: readonly string[], input: readonly Uint8Array[] = []): Promise<void> {
  const ffmpeg = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-y', ...args], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let words = '';
  ffmpeg.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString()).slice(-2000)));
  // It says why it ended on its standard error.
  ffmpeg.stdin.on('error', () => undefined);
  const ended = once(ffmpeg, 'close') as Promise<[number | null]>;
  for (const piece of input) ffmpeg.stdin.write(piece);
  ffmpeg.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}: ${words}`);
}

/** H.264 as cameras and sites send it. */
export const H264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p'] as const;

/**
 * Writes frames as an MP4.
 * @param frames - RGB bytes, each `[side * side * 3]`
 */
export function writeFrames(path: string, frames: readonly Uint8Array[], side: number): Promise<void> {
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${side}x${side}`, '-r', '10', '-i', '-'];
  return runFfmpeg([...raw, ...H264, '-crf', '18', path], frames);
}
