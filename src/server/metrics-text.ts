import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Registry } from 'prom-client';

/** How old the text of a `RecentText` may be: not older than what a scraper that comes often has seen last. */
const RECENT_MS = 5000;
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

/** The text of a registry that is slow to read, as it was within the last five seconds. */
export class RecentText {
  private text = Promise.resolve('');
  private at = -Infinity;

  constructor(private readonly registry: Registry) {}

  /** @returns the registry in Prometheus' text format */
  read(): Promise<string> {
    const now = performance.now();
    if (now - this.at > RECENT_MS) [this.at, this.text] = [now, this.registry.metrics()];
    return this.text;
  }
}
