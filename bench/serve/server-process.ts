import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server under test in a process of its own. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  /**
   * Starts a server and waits until it answers.
   * @param name - for errors
   * @param command - program and arguments; `{port}` stands for the port
   * @param readyPath - answers 200 once the server is ready
   * @throws Error with the server's last words where it does not get ready
   */
  static async start(
    name: string,
    command: readonly string[],
    readyPath: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const port = await freePort();
    const [program, ...args] = command.map((part) => part.replace('{port}', String(port)));
    // Its log goes nowhere, as fast as a log can; what it says on stderr is kept for when it fails.
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    const server = new ServerProcess(child, port);
    process.once('exit', () => child.kill('SIGKILL'));
    let words = '';
    child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString()).slice(-4000)));
    child.once('error', (error) => (words += error.message));
    for (let tries = 0; tries < 600; tries++) {
      if (child.exitCode !== null || child.pid === undefined) {
        throw new Error(`${name} ended before it was ready:\n${words}`);
      }
      if (await answers(port, readyPath)) return server;
      await sleep(100);
    }
    await server.stop();
    throw new Error(`${name} was not ready within a minute:\n${words}`);
  }

  get pid(): number {
    return this.child.pid!;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(timer);
  }
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
