import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.js';
import { getRequest, tensorRequest } from './requests.js';
import { SLOW_ROWS, SLOW_WIDTH } from './slow-model.js';

const PATHS = ['/v2/health/live', '/metrics'] as const;
/** Milliseconds in which they must answer, and between two questions. */
const MOST_MS = 20;
const PAUSE_MS = 5;

/** How fast probes are answered while a long batch runs. */
export interface ResponsiveResult {
  /** Seconds that the batch took. */
  readonly batchSeconds: number;
  /** The slowest answer in milliseconds, and how many there were, by path. */
  readonly slowest: ReadonlyMap<string, { readonly ms: number; readonly count: number }>;
  readonly met: boolean;
}

/**
 * Sends one long batch, and asks for health and metrics until it is answered.
 * @param model - a slow one
 * @throws Error where an answer is not 200
 */
export async function runResponsive(port: number, model: string): Promise<ResponsiveResult> {
  const values = new Float32Array(SLOW_ROWS * SLOW_WIDTH).fill(0.1);
  const request = tensorRequest(`/v2/models/${model}/infer`, 'x', 'y', [SLOW_ROWS, SLOW_WIDTH], values);
  const [batches, probes] = await Promise.all([Connection.open(port), Connection.open(port)]);
  const slowest = new Map<string, { ms: number; count: number }>(
    PATHS.map((path) => [path, { ms: 0, count: 0 }]),
  );
  try {
    // The first probe of each kind pays for code that is compiled on first use, with or without a batch.
    for (const path of PATHS) await timed(probes, path);
    const begin = performance.now();
    let batchSeconds = 0;
    const batch = batches.send(request).then(({ status, body }) => {
      if (status !== 200)
        throw new Error(`The slow batch was answered ${status}: ${body.toString('latin1', 0, 300)}`);
      batchSeconds = (performance.now() - begin) / 1000;
    });
    while (batchSeconds === 0) {
      for (const path of PATHS) {
        const ms = await timed(probes, path);
        const before = slowest.get(path)!;
        slowest.set(path, { ms: Math.max(before.ms, ms), count: before.count + 1 });
        await Promise.race([sleep(PAUSE_MS), batch]);
      }
    }
    return { batchSeconds, slowest, met: [...slowest.values()].every(({ ms }) => ms < MOST_MS) };
  } finally {
    batches.close();
    probes.close();
  }
}

async function timed(connection: Connection, path: string): Promise<number> {
  const begin = performance.now();
  const { status } = await connection.send(getRequest(path));
  if (status !== 200) throw new Error(`${path} was answered ${status}.`);
  return performance.now() - begin;
}
