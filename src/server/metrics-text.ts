import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetricObject, Registry } from 'prom-client';

/** How old the text of a `RecentText` may be: not older than what a scraper that comes often has seen last. */
const RECENT_MS = 5000;
/** It is written anew before it is too old, so that whoever reads it does not wait. */
const RENEW_MS = 4000;
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
  read(): Promise<string> {
    return inTurns(this.registry, (metric) => {
      let text = this.texts.get(metric);
      if (!text) this.texts.set(metric, (text = this.registry.getSingleMetricAsString(metric.name)));
      return text;
    });
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
  private writing: Promise<string> | undefined;
  private next: NodeJS.Timeout | undefined;

  constructor(private readonly registry: Registry) {}

  /** @returns the registry in Prometheus' text format */
  async read(): Promise<string> {
    this.readAt = performance.now();
    return this.readAt - this.writtenAt <= RECENT_MS ? this.text : this.renew();
  }

  /** Writes it, once, however many wait for it. */
  private renew(): Promise<string> {
    this.writing ??= this.write().finally(() => (this.writing = undefined));
    return this.writing;
  }

  private async write(): Promise<string> {
    const begin = performance.now();
    this.text = await inTurns(this.registry, ({ name }) => this.registry.getSingleMetricAsString(name));
    this.writtenAt = begin;
    clearTimeout(this.next);
    this.next = setTimeout(() => {
      if (performance.now() - this.readAt < UNREAD_MS) this.renew().catch(() => undefined);
    }, RENEW_MS).unref();
    return this.text;
  }
}

/** The texts of all metrics, one after the other; the event loop has its turn after a millisecond. */
async function inTurns(
  registry: Registry,
  textOf: (metric: MetricObject) => Promise<string>,
): Promise<string> {
  let all = '';
  let began = performance.now();
  for (const metric of registry.getMetricsAsArray()) {
    all += `${await textOf(metric)}\n\n`;
    if (performance.now() - began < TURN_MS) continue;
    await nextTurn();
    began = performance.now();
  }
  return all;
}
