import { Connection } from './connection.js';
import { quantile, type Measurement } from './measurement.js';

/** A load to put on a server. */
export interface Load {
  readonly port: number;
  readonly connections: number;
  /** Sent in turn, each connection the next one. */
  readonly requests: readonly Buffer[];
  /** Not counted, at the beginning. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/**
 * Keeps every connection busy and counts the answers.
 * @throws Error at the first answer whose status is not 200, or whose connection breaks
 */
export async function putLoad(load: Load): Promise<Measurement> {
  const { port, requests } = load;
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () => Connection.open(port)),
  );
  const begin = performance.now() + load.warmUpSeconds * 1000;
  const end = begin + load.seconds * 1000;
  const latencies: number[] = [];
  let next = 0;
  let cpu: NodeJS.CpuUsage | undefined;
  const keepBusy = async (connection: Connection): Promise<void> => {
    for (;;) {
      const sent = performance.now();
      if (sent >= end) return;
      const { status, body } = await connection.send(requests[next++ % requests.length]);
      const now = performance.now();
      if (status !== 200) throw new Error(`The server answered ${status}: ${body.toString().slice(0, 500)}`);
      if (now >= begin && now < end) {
        cpu ??= process.cpuUsage();
        latencies.push(now - sent);
      }
    }
  };
  try {
    await Promise.all(connections.map(keepBusy));
  } finally {
    for (const connection of connections) connection.close();
  }
  if (latencies.length === 0) throw new Error('The server gave no answer in the time of the measurement.');
  const { user, system } = process.cpuUsage(cpu);
  latencies.sort((a, b) => a - b);
  return {
    imagesPerSecond: latencies.length / load.seconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    loadShare: (user + system) / 1e6 / load.seconds,
  };
}
