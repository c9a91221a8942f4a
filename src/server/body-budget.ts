import { BallastError } from '../errors.js';
import type { Exchange } from './route.js';

/** How many bytes of bodies the server holds at once, over all requests. Tried, never awaited. */
export class BodyBudget {
  private held = 0;

  /**
   * @param limit - in bytes
   * @param onFull - told of each refusal
   */
  constructor(
    private readonly limit: number,
    private readonly onFull: () => void,
  ) {}

  /**
   * Takes room for bytes of a body. One body alone always finds room: its own limit holds it.
   * @throws BallastError queue-full where the bodies in flight leave no room
   */
  take(exchange: Exchange, bytes: number): void {
    const others = this.held - exchange.heldBytes;
    if (others > 0 && this.held + bytes > this.limit) {
      this.onFull();
      throw new BallastError(
        'queue-full',
        `The server holds ${megabytes(others)} MB of other requests, and takes ${megabytes(this.limit)} MB in all (--max-pending-mb).`,
        { retryAfterSeconds: 1 },
      );
    }
    this.held += bytes;
    exchange.heldBytes += bytes;
  }

  /** Gives a request's room back once it has ended. */
  release(exchange: Exchange): void {
    this.held -= exchange.heldBytes;
    exchange.heldBytes = 0;
  }
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}
