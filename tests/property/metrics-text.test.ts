import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ChangedText, RecentText } from '#ballast/server/metrics-text.js';

const label = fc.constantFrom('cat', 'dog', 'deer "quoted"');
const step = fc.oneof(
  fc.record({ do: fc.constant('count' as const), model: label }),
  fc.record({
    do: fc.constant('observe' as const),
    model: label,
    value: fc.double({ min: 0, max: 2, noNaN: true }),
  }),
  fc.record({ do: fc.constant('read' as const) }),
);

afterEach(() => vi.useRealTimers());

describe('text of metrics', () => {
  it('is what prom-client writes, after whatever was counted and read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const registry = new Registry();
        const registers = [registry];
        const requests = new Counter({ name: 'requests', help: 'r', labelNames: ['model'], registers });
        const seconds = new Histogram({ name: 'seconds', help: 's', labelNames: ['model'], registers });
        new Counter({ name: 'never', help: 'n', registers });
        const text = new ChangedText(registry);
        const reads: Promise<string>[] = [];
        for (const each of steps) {
          if (each.do === 'read') {
            // Reads overlap with what comes next, as scrapes do.
            reads.push(text.read());
          } else if (each.do === 'count') {
            text.changed(requests);
            requests.inc({ model: each.model });
          } else {
            text.changed(seconds);
            seconds.observe({ model: each.model }, each.value);
          }
        }
        await Promise.all(reads);
        expect(await text.read()).toBe(`${await registry.metrics()}\n`);
      }),
    );
  });

  it('is written once where nothing changed', async () => {
    const registry = new Registry();
    let written = 0;
    const kept = new Gauge({
      name: 'kept',
      help: 'k',
      registers: [registry],
      collect: () => {
        written++;
      },
    });
    const text = new ChangedText(registry);
    await Promise.all([text.read(), text.read()]);
    await text.read();
    expect(written).toBe(1);
    text.changed(kept);
    await text.read();
    expect(written).toBe(2);
  });

  it('of a slow registry is at most five seconds old', async () => {
    const registry = new Registry();
    let written = 0;
    const slow = new Gauge({
      name: 'slow',
      help: 's',
      registers: [registry],
      collect: () => {
        slow.set(++written);
      },
    });
    const text = new RecentText(registry);
    vi.useFakeTimers({ toFake: ['performance'] });
    const [first, second] = await Promise.all([text.read(), text.read()]);
    expect(first).toContain('slow 1');
    expect(second).toBe(first);
    vi.advanceTimersByTime(4999);
    expect(await text.read()).toBe(first);
    vi.advanceTimersByTime(2);
    expect(await text.read()).toContain('slow 2');
  });
});
