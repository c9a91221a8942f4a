import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Registry } from 'prom-client';

/** How old the text of a `RecentText` may be: not older than what a scraper that comes often has seen last. */
const RECENT_MS = 5000;
/** It is written anew before it is too old, so that whoever reads it does not wait. */
const RENEW_MS = 3500;
/** Between two metrics of that, so that it holds nobody up: some 30 of them take half a second. */
const PAUSE_MS = 15;
/** Nobody reads it any more: scrapers come once a minute, or more often. */
const UNREAD_MS = 120_000;
/** After so long the event loop has its turn. */
const TURN_MS = 1;

/**
 * The text of a registry whose metrics are written anew only where they have changed: prom-client takes some 6 ms to
 * write six models that have answered every kind of request, and nothing else is answered meanwhile.
 */
export class ChangedText {
  private readonly texts = new Map<object, Promise<string>>();

  /** @param registry - whose metrics change by nothing but what `changed` is called for */
  constructor(private readonly registry: Registry) {}

  /** A metric of the registry changes, in this turn of the event loop. */
  changed(metric: object): void {
    this.texts.delete(metric);
  }

  /** @returns the registry in Prometheus' text format; the event loop is held for a millisecond or one metric at a time */
  async read(): Promise<string> {
    let all = '';
    let began = performance.now();
    for (const metric of this.registry.getMetricsAsArray()) {
      let text = this.texts.get(metric);
      if (!text) this.texts.set(metric, (text = this.registry.getSingleMetricAsString(metric.name)));
      all += `${await text}\n\n`;
      if (performance.now() - began < TURN_MS) continue;
      await nextTurn();
      began = performance.now();
    }
    return all;
  }
}

/**
 * The text of a registry that is slow to read, as it was within the last five seconds. While it is read now and then,
 * it is kept ready: its 2 ms of work become 16 where a forward pass has the cores.
 */
export class RecentText {
  private text = '';
  private writtenAt = -Infinity;
  private readAt = -Infinity;
  private writing: Promise<void> | undefined;
  private next: NodeJS.Timeout | undefined;

  /**
   * @param registry - what is written
   * @param isKeptReady - false where it is written for those alone who read it
   */
  constructor(
    private readonly registry: Registry,
    private readonly isKeptReady = true,
  ) {}

  /** @returns the registry in Prometheus' text format */
  async read(): Promise<string> {
    this.readAt = performance.now();
    if (this.readAt - this.writtenAt > RECENT_MS) {
      await (this.writing ??= this.write(0).finally(() => (this.writing = undefined)));
    }
    return this.text;
  }

  /** Writes it, and again later for those who will read it. */
  private async write(pauseMs: number): Promise<void> {
    const begin = performance.now();
    let all = '';
    for (const { name } of this.registry.getMetricsAsArray()) {
      all += `${await this.registry.getSingleMetricAsString(name)}\n\n`;
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
    }
    // Somebody may have waited for a newer one meanwhile.
    if (begin < this.writtenAt) return;
    [this.text, this.writtenAt] = [all, begin];
    if (!this.isKeptReady) return;
    clearTimeout(this.next);
    this.next = setTimeout(() => {
      if (performance.now() - this.readAt < UNREAD_MS) this.write(PAUSE_MS).catch(() => undefined);
    }, RENEW_MS).unref();
  }
}
