import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { cellName, type Cell, type Network } from './cell.js';
import type { LoadGenerator } from './load-generator.js';
import type { Measurement } from './measurement.js';
import { ServerProcess } from './server-process.js';

const SCRIPT = fileURLToPath(new URL('./peer.py', import.meta.url));

/** What is missing for the peer, in one sentence; undefined where nothing is. */
export function whyNoPeer(python: string): string | undefined {
  const { status, stderr, error } = spawnSync(python, [SCRIPT, '--help'], { encoding: 'utf8' });
  if (status === 0) return undefined;
  const reason = error?.message ?? stderr.trim().split('\n').at(-1)!;
  return `The peer is left out: ${python} cannot run it (${reason}). Install bench/serve/requirements.txt, or name another interpreter by PYTHON.`;
}

/**
 * The FastAPI server, once for each way in which it may use the cores; each cell is measured on the one that does
 * best there, which is more than one deployment could have.
 */
export class Peer {
  private readonly best = new Map<string, { readonly server: ServerProcess; readonly threads: number }>();

  private constructor(
    private readonly servers: ReadonlyMap<number, ServerProcess>,
    private readonly load: LoadGenerator,
  ) {}

  /** @throws Error with the server's last words where one does not get ready */
  static async start(
    python: string,
    files: ReadonlyMap<Network, string>,
    load: LoadGenerator,
  ): Promise<Peer> {
    const models = [...files].map(([network, file]) => `${network}=${file}`);
    const servers = new Map<number, ServerProcess>();
    // 0 is onnxruntime's own default; 1 leaves the cores to requests side by side.
    for (const threads of new Set([0, 1, availableParallelism()])) {
      const command = [python, SCRIPT, '--port', '{port}', '--threads', String(threads), ...models];
      servers.set(threads, await ServerProcess.start('The peer', command, '/ready'));
    }
    return new Peer(servers, load);
  }

  /**
   * Finds the server that does best in a cell.
   * @param seconds - that each of them is tried, in two parts
   */
  async search(cell: Cell, seconds: number): Promise<void> {
    let most = 0;
    // Two passes, as for the floor.
    for (let pass = 0; pass < 2; pass++) {
      for (const [threads, server] of this.servers) {
        const { imagesPerSecond } = await this.load.measure(server.port, cell, seconds / 2);
        if (imagesPerSecond <= most) continue;
        most = imagesPerSecond;
        this.best.set(cellName(cell), { server, threads });
      }
    }
  }

  measure(cell: Cell, seconds: number): Promise<Measurement> {
    return this.load.measure(this.best.get(cellName(cell))!.server.port, cell, seconds);
  }

  /** The best setting of a cell, in words. */
  describe(cell: Cell): string {
    const { threads } = this.best.get(cellName(cell))!;
    return threads === 0 ? 'default threads' : `${threads} thread${threads === 1 ? '' : 's'}`;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.servers.values()].map((server) => server.stop()));
  }
}
