import { CONNECTIONS, NETWORKS, PAYLOADS, type Cell, type Network, type Payload } from './cell.js';
import { medianOf, type Measurement } from './measurement.js';

/** The rounds of one cell, by contender. The floor knows no connections: its rounds are shared. */
export interface CellResult {
  readonly cell: Cell;
  readonly floor: readonly Measurement[];
  readonly ballast: readonly Measurement[];
  /** Empty where the peer cannot run. */
  readonly peer: readonly Measurement[];
  /** Settings that were found best. */
  readonly floorSettings: string;
  readonly peerSettings: string;
}

/** Every cell, in the order of the table. */
export const CELLS: readonly Cell[] = NETWORKS.flatMap((network: Network) =>
  PAYLOADS.flatMap((payload: Payload) =>
    CONNECTIONS.map((connections) => ({ network, payload, connections })),
  ),
);

/** What must be reached, as shares. */
const LEAST_OF_FLOOR = 0.8;
const LEAST_OF_PEER = { 1: 1, 32: 1.5 } as const;

const NAMES = { jpeg: 'JPEG', oip: 'OIP binary' } as const;

const HEAD = [
  'network, payload, connections',
  'floor img/s',
  'Ballast img/s',
  'of floor',
  'p50 ms',
  'p99 ms',
  'FastAPI img/s',
  'ratio',
  'p50 ms',
  'p99 ms',
];

/** A head and a line for each cell. */
export function tableOf(results: readonly CellResult[]): string[][] {
  const lines = results.map(({ cell, ...rounds }) => {
    const [floor, ballast] = [medianOf(rounds.floor), medianOf(rounds.ballast)];
    const peer = rounds.peer.length === 0 ? undefined : medianOf(rounds.peer);
    return [
      titleOf(cell),
      floor.imagesPerSecond.toFixed(0),
      ballast.imagesPerSecond.toFixed(0),
      `${((100 * ballast.imagesPerSecond) / floor.imagesPerSecond).toFixed(0)} %`,
      milliseconds(ballast.p50),
      milliseconds(ballast.p99),
      peer?.imagesPerSecond.toFixed(0) ?? '-',
      peer === undefined ? '-' : (ballast.imagesPerSecond / peer.imagesPerSecond).toFixed(2),
      milliseconds(peer?.p50),
      milliseconds(peer?.p99),
    ];
  });
  return [HEAD, ...lines];
}

/** A line for each target of each cell, and whether all are met. */
export function judge(results: readonly CellResult[]): { lines: string[]; met: boolean } {
  const lines: string[] = [];
  let met = true;
  const check = (cell: Cell, what: string, share: number, least: number): void => {
    if (share < least) met = false;
    const verdict = share >= least ? 'PASS' : 'MISS';
    lines.push(`${verdict}  ${titleOf(cell)}: ${share.toFixed(2)} of ${what}, at least ${least.toFixed(2)}`);
  };
  for (const { cell, floor, ballast, peer } of results) {
    const { imagesPerSecond } = medianOf(ballast);
    if (cell.connections === 32)
      check(cell, 'the floor', imagesPerSecond / medianOf(floor).imagesPerSecond, LEAST_OF_FLOOR);
    if (peer.length > 0) {
      const share = imagesPerSecond / medianOf(peer).imagesPerSecond;
      check(cell, 'FastAPI', share, LEAST_OF_PEER[cell.connections]);
    }
  }
  return { lines, met };
}

/** A cell, in words. */
export function titleOf({ network, payload, connections }: Cell): string {
  return `${network}, ${NAMES[payload]}, ${connections}`;
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? '-' : value.toFixed(1);
}
