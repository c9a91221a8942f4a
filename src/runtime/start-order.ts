import { Lanes } from './lanes.js';

/**
 * In which order workers start. A model serves as soon as it has one worker, so the first ones of all models go before
 * the others of any; these start one at a time, which leaves the other cores to requests.
 */
export class StartOrder {
  private readonly others = new Lanes(1);
  private firsts = 0;
  private waiting: (() => void)[] = [];

  /** Starts what a model cannot serve without, at once. */
  async first<T>(start: () => Promise<T>): Promise<T> {
    this.firsts++;
    try {
      return await start();
    } finally {
      this.firsts--;
      if (this.firsts === 0) for (const go of this.waiting.splice(0)) go();
    }
  }

  /** Starts what makes a model faster, once no other model waits for its first worker. */
  other<T>(start: () => Promise<T>): Promise<T> {
    return this.others.run(async () => {
      while (this.firsts > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
      return start();
    });
  }
}
