import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Whether this machine has what the tests of videos need; says so once where it has not. */
export const hasFfmpeg = ['ffmpeg', 'ffprobe'].every(
  (program) => spawnSync(program, ['-version']).status === 0,
);
if (!hasFfmpeg) {
  console.warn('ffmpeg or ffprobe is not installed here: the tests that read videos are skipped.');
}

/** A temporary folder of videos that ffmpeg makes. */
export class VideoSamples {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'ballast-video-'));

  /** Where a file of that name is. */
  at(name: string): string {
    return path.join(this.folder, name);
  }

  /** Makes a file with ffmpeg; `options` are what stands between it and the name. */
  make(name: string, ...options: string[]): string {
    const out = this.at(name);
    const { status, stderr } = spawnSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...options, out], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`ffmpeg could not make ${name}: ${stderr}`);
    return out;
  }

  /** A test picture that moves: `size` as in `64x48`. */
  moving(name: string, size: string, rate: string, seconds: number, ...options: string[]): string {
    const source = `testsrc=size=${size}:rate=${rate}:duration=${seconds}`;
    return this.make(name, '-f', 'lavfi', '-i', source, '-pix_fmt', 'yuv420p', ...options);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.at(name), content);
    return this.at(name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/**
 * The ffmpeg and ffprobe that run with a file among their arguments.
 * @returns their process ids; empty where the system does not tell
 */
export function processesWith(file: string): string[] {
  let entries: string[];
  try {
    entries = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return entries.filter((pid) => {
    try {
      const [program, ...rest] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return /ff(mpeg|probe)$/.test(program) && rest.includes(`file:${file}`);
    } catch {
      return false;
    }
  });
}
