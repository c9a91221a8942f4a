/**
 * LAME of Ballast beside the same formulas in PyTorch, by turns in one run, with as many threads.
 * Usage: PYTHON=path/to/python npm run bench:lame -- [--rounds 15] [--affinities knn,rbf,linear]
 *        [--samples 64,256,1024] [--json FILE]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Affinity } from '#ballast/adapt/lame.js';
import { formatTable } from '../shift/table.js';
import { measure, type Row } from './measure.js';
import { startPeer } from './peer.js';
import { makeProblem, type Size } from './problem.js';

/** What must hold of kNN, which is the default; ratios are PyTorch's time with torch.cdist over Ballast's. */
const TARGETS: readonly { readonly text: string; readonly holds: (row: Row) => boolean }[] = [
  { text: 'never slower than PyTorch', holds: ({ cdist, ballast }) => cdist >= ballast },
  {
    text: 'at least 3 times as fast at N >= 256 with K = 1000',
    holds: ({ N, K, cdist, ballast }) => N < 256 || K < 1000 || cdist >= 3 * ballast,
  },
  { text: 'the event loop never held for more than 10 ms', holds: ({ held }) => held <= 10 },
];

function cells({ affinity, N, K, D, ballast, cdist, differences, iterations, apart, held }: Row): string[] {
  const ms = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(2));
  const ratio = (value: number | undefined): string =>
    value === undefined ? '-' : (value / ballast).toFixed(1);
  const size = [N, K, D].map(String);
  const passes = `${iterations.ballast} / ${iterations.peer}`;
  const peers = [ms(cdist), ratio(cdist), ms(differences), ratio(differences)];
  return [affinity, ...size, ms(ballast), ...peers, passes, apart.toExponential(1), held.toFixed(1)];
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    affinities: { type: 'string', default: 'knn,rbf,linear' },
    samples: { type: 'string', default: '64,256,1024' },
    json: { type: 'string' },
  },
});
const sizes: Size[] = values.samples
  .split(',')
  .map(Number)
  .flatMap((N) => [10, 1000].flatMap((K) => [512, 2048].map((D) => ({ N, K, D }))));
const threads = availableParallelism();
const folder = mkdtempSync(join(tmpdir(), 'ballast-lame-'));
const rows: Row[] = [];
try {
  const peer = await startPeer(threads);
  process.stderr.write(
    `PyTorch ${peer.version}, ${threads} threads on both sides, ${values.rounds} rounds\n`,
  );
  for (const size of sizes) {
    const problem = makeProblem(size, folder);
    for (const affinity of values.affinities.split(',') as Affinity[]) {
      process.stderr.write(`${affinity} N=${size.N} K=${size.K} D=${size.D} ...\n`);
      rows.push(await measure(problem, affinity, peer, Number(values.rounds)));
    }
  }
  peer.close();
} finally {
  rmSync(folder, { recursive: true });
}
rows.sort((a, b) => values.affinities.indexOf(a.affinity) - values.affinities.indexOf(b.affinity));
const head = [
  'affinity',
  'N',
  'K',
  'D',
  'ballast ms',
  'cdist ms',
  'ratio',
  'NxNxD ms',
  'ratio',
  'passes',
  'apart',
  'loop ms',
];
console.log(formatTable([head, ...rows.map(cells)]));
console.log(
  '\nMedians. cdist: PyTorch with torch.cdist; NxNxD: with all differences at once, as the reference does, left out\n' +
    'where they would take more than 8 GB and for linear, which has none. apart: the largest difference between the\n' +
    'answers of both. loop ms: the longest that the event loop was held in any run, the 1 ms of its clock included.\n',
);
for (const { text, holds } of TARGETS) {
  const missed = rows.filter((row) => row.affinity === 'knn' && !holds(row));
  console.log(`${missed.length === 0 ? 'met   ' : 'MISSED'} kNN: ${text}`);
  if (missed.length > 0) process.exitCode = 1;
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, null, 2));
