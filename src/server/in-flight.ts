import type { Exchange } from './route.js';

/**
 * The requests that are not answered yet. Each has a numbered place, which the next one takes when it is free: the
 * tables of a Set, outgrown one after another, hold on to each other and to all that was in them, and so to every
 * request until the next full garbage collection.
 */
export class InFlight {
  private readonly places: (Exchange | undefined)[] = [];
  private readonly free: number[] = [];

  add(exchange: Exchange): void {
    exchange.place = this.free.pop() ?? this.places.length;
    this.places[exchange.place] = exchange;
  }

  /** Takes out a request that was added. */
  remove({ place }: Exchange): void {
    this.places[place] = undefined;
    this.free.push(place);
  }

  /** Their connections end with their answers, so that no client sends another request over them. */
  endConnections(): void {
    for (const exchange of this.places) if (exchange) exchange.res.shouldKeepAlive = false;
  }
}
