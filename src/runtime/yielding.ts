import { setTimeout as sleep } from 'node:timers/promises';

/** What work in the background may have of the time while requests come: one part in so many. */
const SHARE = 20;

/** Counts requests where every thread can see it. */
export class RequestCounter {
  private readonly count: Int32Array;

  /** @param memory - of another thread's counter, to read it; new where left out */
  constructor(readonly memory = new SharedArrayBuffer(4)) {
    this.count = new Int32Array(memory);
  }

  /** A request came. */
  add(): void {
    Atomics.add(this.count, 0, 1);
  }

  /** Changes whenever a request came. */
  get value(): number {
    return Atomics.load(this.count, 0);
  }
}

/**
 * Makes work in the background give way: a low priority gives requests the cores, but not the caches and, on a GPU,
 * nothing at all.
 * @param requests - those that the work gives way to
 * @returns to be awaited between two short pieces of work: it waits where requests came during the last one
 */
export function givingWay(requests: RequestCounter): () => Promise<void> {
  let [seen, begin] = [requests.value, performance.now()];
  return async () => {
    const took = performance.now() - begin;
    if (requests.value !== seen) await sleep((SHARE - 1) * took);
    [seen, begin] = [requests.value, performance.now()];
  };
}
