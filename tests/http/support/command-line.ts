import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** A server in a process of its own. */
export interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  /** Exit code, or the signal that ended it. */
  readonly exit: Promise<number | string>;
  readonly log: () => string;
}

/** Runs the command line as a user does, until it says where it listens. */
export async function serveInProcess(folder: string, ...more: string[]): Promise<Running> {
  const flags = ['--models', folder, '--port', '0', '--provider', 'cpu', '--threads', '1', ...more];
  const child = spawn(process.execPath, ['dist/cli.js', 'serve', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exit = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  let log = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      log += chunk.toString();
      const found = /"url":"(http:[^"]+)"/.exec(log);
      if (found) resolve(found[1]);
    });
    void exit.then((code) => {
      reject(new Error(`exit ${code}: ${log}`));
    });
  });
  return { child, url, exit, log: () => log };
}
