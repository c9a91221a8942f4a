import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Connection } from './connection.js';
import { nodeFlags } from './node-flags.js';
import { getRequest, tensorRequest } from './requests.js';
import { ServerProcess } from './server-process.js';
import { SLOW_ROWS, SLOW_WIDTH } from './slow-model.js';

const PATHS = ['/v2/health/live', '/metrics'] as const;
/** Milliseconds in which they must answer, and between two questions. */
export const MOST_MS = 20;
const PAUSE_MS = 5;
/** A server that takes less than this share of a core for so long has loaded all copies of its models. */
const QUIET = 0.2;
/** In seconds; what `/metrics` tells of the process may be 5 s old. */
const LOOK_EVERY = 6;
const MOST_LOOKS = 20;

/** The slowest answer in milliseconds, and how many there were. */
export interface Slowest {
  ms: number;
  count: number;
}

/** How fast probes are answered while a long batch runs. */
export interface ResponsiveResult {
  /** Seconds that the batch took. */
  readonly batchSeconds: number;
  readonly byPath: ReadonlyMap<string, Slowest>;
  /** The same of a server that does nothing, asked in turn with them: what the machine alone lets probes wait. */
  readonly bare: Slowest;
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
  const bareServer = await startBare();
  const byPath = new Map<string, Slowest>(PATHS.map((path) => [path, { ms: 0, count: 0 }]));
  const bare: Slowest = { ms: 0, count: 0 };
  const connections: Connection[] = [];
  const open = async (to: number): Promise<Connection> => {
    const connection = await Connection.open(to);
    connections.push(connection);
    return connection;
  };
  try {
    const probes = await open(port);
    await untilQuiet(probes);
    // Not sooner: Node.js closes connections over which nothing was asked for a minute.
    const [batches, bareProbes] = await Promise.all([open(port), open(bareServer.port)]);
    // The first probe of each kind pays for code that is compiled on first use, with or without a batch.
    for (const path of PATHS) await timed(probes, path);
    await timed(bareProbes, '/');
    const begin = performance.now();
    let batchSeconds = 0;
    const batch = batches.send(request).then(({ status, body }) => {
      if (status !== 200)
        throw new Error(`The slow batch was answered ${status}: ${body.toString('latin1', 0, 300)}`);
      batchSeconds = (performance.now() - begin) / 1000;
    });
    const ask = async (slowest: Slowest, connection: Connection, path: string): Promise<void> => {
      slowest.ms = Math.max(slowest.ms, await timed(connection, path));
      slowest.count++;
      await Promise.race([sleep(PAUSE_MS), batch]);
    };
    while (batchSeconds === 0) {
      for (const [path, slowest] of byPath) await ask(slowest, probes, path);
      await ask(bare, bareProbes, '/');
    }
    return { batchSeconds, byPath, bare, met: [...byPath.values()].every(({ ms }) => ms < MOST_MS) };
  } finally {
    for (const connection of connections) connection.close();
    await bareServer.stop();
  }
}

function startBare(): Promise<ServerProcess> {
  const file = fileURLToPath(new URL('bare-server.ts', import.meta.url));
  const command = [process.execPath, ...process.execArgv, ...nodeFlags(), file, '{port}'];
  return ServerProcess.start('The bare server', command, '/');
}

/** A model answers once its first copy is loaded; those that load after it would stretch the batch. */
async function untilQuiet(connection: Connection): Promise<void> {
  let before = await cpuSeconds(connection);
  for (let look = 0; look < MOST_LOOKS; look++) {
    await sleep(LOOK_EVERY * 1000);
    const now = await cpuSeconds(connection);
    if (now - before < QUIET * LOOK_EVERY) return;
    before = now;
  }
  throw new Error(`The server was not done loading after ${MOST_LOOKS * LOOK_EVERY} s.`);
}

/** What the server took of the cores since it started. */
async function cpuSeconds(connection: Connection): Promise<number> {
  const { body } = await connection.send(getRequest('/metrics'));
  return Number(/^process_cpu_seconds_total (\S+)$/m.exec(body.toString())?.[1]);
}

async function timed(connection: Connection, path: string): Promise<number> {
  const begin = performance.now();
  const { status } = await connection.send(getRequest(path));
  if (status !== 200) throw new Error(`${path} was answered ${status}.`);
  return performance.now() - begin;
}
