import { AnsweringProcess } from './answering-process.js';
import { cellName, type Cell } from './cell.js';
import type { LoadQuestion } from './load-process.js';
import type { Measurement } from './measurement.js';

// Connections are new in each round, and caches have grown cold while others were measured.
const WARM_UP_SECONDS = 0.5;

/** The process that puts load on servers, with the requests that it may be told to send. */
export class LoadGenerator {
  private readonly process = new AnsweringProcess<LoadQuestion, Measurement | undefined>(
    new URL('./load-process.ts', import.meta.url),
  );
  private readonly kept = new Set<string>();

  /** Sends requests over to the process, for `measure`. */
  async keep(cell: Cell, requests: readonly Buffer[]): Promise<void> {
    const name = requestsName(cell);
    if (this.kept.has(name)) return;
    this.kept.add(name);
    await this.process.ask({ kind: 'keep', name, requests });
  }

  /** @throws Error where the server refuses a request or breaks off */
  async measure(port: number, cell: Cell, seconds: number): Promise<Measurement> {
    const { connections } = cell;
    const measurement = await this.process.ask({
      kind: 'put',
      name: requestsName(cell),
      port,
      connections,
      warmUpSeconds: Math.min(WARM_UP_SECONDS, seconds / 2),
      seconds,
    });
    if (measurement === undefined) throw new Error(`Nothing was measured for ${cellName(cell)}.`);
    return measurement;
  }

  stop(): void {
    this.process.stop();
  }
}

function requestsName({ network, payload }: Cell): string {
  return `${network} ${payload}`;
}
