import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatTable } from '../shift/table.js';
import { startBallast } from './ballast.js';
import { cellName, NETWORKS, PAYLOADS, type Network } from './cell.js';
import { Floor } from './floor.js';
import { LoadGenerator } from './load-generator.js';
import { medianOf, type Measurement } from './measurement.js';
import { findNetworks, networkNames, writeModel } from './networks.js';
import type { ServeOptions } from './options.js';
import { Peer, whyNoPeer } from './peer.js';
import { readPictures } from './pictures.js';
import { requestsFor } from './requests.js';
import { CELLS, judge, tableOf, titleOf, type CellResult } from './result.js';
import { decodeSamples } from './samples.js';
import type { ServerProcess } from './server-process.js';

/** The three that are measured; the peer is missing where its packages are. */
interface Contenders {
  readonly floor: Floor;
  readonly ballast: ServerProcess;
  readonly peer: Peer | undefined;
  readonly load: LoadGenerator;
}

/**
 * Measures all contenders in every cell, in rounds that alternate between them, and prints medians and verdicts.
 * @returns whether every target is met
 */
export async function runRounds(options: ServeOptions): Promise<boolean> {
  const files = findNetworks(options.networks, options.python);
  const directory = await mkdtemp(join(tmpdir(), 'ballast-bench-'));
  const stops: (() => unknown)[] = [() => rm(directory, { recursive: true })];
  try {
    for (const [network, file] of files) await writeModel(directory, network, file);
    const contenders = await start(options, files, directory, stops);
    const results = await measure(contenders, options);
    const { lines, met } = judge(results);
    print(`\n${formatTable(tableOf(results))}\n`);
    print(lines.join('\n'));
    print(`\nSettings found best: ${settingsOf(results)}`);
    print(`Share of one core that the load generator took from the server: ${loadShares(results)}`);
    if (options.json !== undefined) await writeFile(options.json, JSON.stringify({ met, results }, null, 2));
    return met;
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function start(
  options: ServeOptions,
  files: ReadonlyMap<Network, string>,
  directory: string,
  stops: (() => unknown)[],
): Promise<Contenders> {
  const pictures = await readPictures(options.images);
  const samples = await decodeSamples(pictures);
  const load = new LoadGenerator();
  stops.push(() => {
    load.stop();
  });
  for (const cell of CELLS) {
    const { network, payload } = cell;
    const names = await networkNames(files.get(network)!);
    await load.keep(cell, requestsFor(payload, network, names, pictures, samples));
  }
  const ballast = await startBallast(directory, options.ballastArgs);
  stops.push(() => ballast.stop());
  const reason = whyNoPeer(options.python);
  if (reason !== undefined) print(reason);
  const peer = reason === undefined ? await Peer.start(options.python, files, load) : undefined;
  stops.push(() => peer?.stop());
  print(
    `${availableParallelism()} cores, ${pictures.length} pictures; searching the best settings of floor and peer`,
  );
  const floor = await Floor.start(files, pictures, samples, options.trySeconds);
  stops.push(() => {
    floor.stop();
  });
  for (const cell of CELLS) {
    await peer?.search(cell, options.trySeconds);
    // The search has warmed floor and peer; Ballast, which has no settings to search, gets about as long.
    await load.measure(ballast.port, cell, 3 * options.trySeconds);
  }
  return { floor, ballast, peer, load };
}

async function measure(
  { floor, ballast, peer, load }: Contenders,
  { rounds, seconds }: ServeOptions,
): Promise<CellResult[]> {
  const floors = new Map<string, Measurement[]>();
  const servers = new Map<string, { ballast: Measurement[]; peer: Measurement[] }>();
  for (let round = 1; round <= rounds; round++) {
    print(`round ${round} of ${rounds}`);
    for (const network of NETWORKS) {
      for (const payload of PAYLOADS) {
        const measured = floors.get(`${network} ${payload}`) ?? [];
        floors.set(`${network} ${payload}`, measured);
        measured.push(await floor.measure(network, payload, seconds));
        for (const cell of CELLS.filter((other) => other.network === network && other.payload === payload)) {
          const both = servers.get(cellName(cell)) ?? { ballast: [], peer: [] };
          servers.set(cellName(cell), both);
          both.ballast.push(await load.measure(ballast.port, cell, seconds));
          if (peer !== undefined) both.peer.push(await peer.measure(cell, seconds));
        }
      }
    }
  }
  return CELLS.map((cell) => ({
    cell,
    floor: floors.get(`${cell.network} ${cell.payload}`)!,
    ...servers.get(cellName(cell))!,
    floorSettings: floor.describe(cell.network, cell.payload),
    peerSettings: peer?.describe(cell) ?? '',
  }));
}

function settingsOf(results: readonly CellResult[]): string {
  return results
    .map(({ cell, floorSettings, peerSettings }) => {
      return `\n  ${titleOf(cell)}: floor ${floorSettings}${peerSettings === '' ? '' : `; FastAPI ${peerSettings}`}`;
    })
    .join('');
}

function loadShares(results: readonly CellResult[]): string {
  return results
    .map(({ cell, ballast }) => `\n  ${titleOf(cell)}: ${(100 * medianOf(ballast).loadShare!).toFixed(0)} %`)
    .join('');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
