/** Runs pieces of work so many at a time, first come, first served. */
export class Lanes {
  private readonly waiting: (() => void)[] = [];
  private busy = 0;

  /** @param count - pieces of work at a time, at least 1 */
  constructor(private readonly count: number) {}

  /** Runs `work` as soon as a lane is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.busy < this.count) this.busy++;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.busy--;
      else next();
    }
  }
}
