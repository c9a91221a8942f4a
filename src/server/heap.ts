import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' }) => void;

/**
 * Lets V8's old generation grow to five times of what survived a full collection before the next one begins: from
 * some 30 MB to 150. By itself V8 collects as often as takes 3 % of the main thread's time, which is every half a
 * second under load, and does not count what its marking threads take from the cores: it had cost a sixth of the
 * throughput of a small network. This is for the whole process, so it is not for a server that another one embeds.
 */
export function letHeapGrow(): void {
  setFlagsFromString('--heap-growing-percent=400');
}

/**
 * Moves what a start left in the young generation, 1.7 MB, to the old one, in some 12 ms. What survives is copied by
 * the next two collections; under load each of them took 9 to 17 ms of the main thread, in which no request is answered.
 */
export function ageHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  collect({ type: 'minor' });
  collect({ type: 'minor' });
}
