import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '#ballast/server/metrics.js';
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

/** A registry of one gauge, whose value is how often it was written. */
function countingItsTexts(): { registry: Registry; gauge: Gauge } {
  const registry = new Registry();
  const collect = (): void => {
    gauge.inc();
  };
  const gauge = new Gauge({ name: 'texts', help: 't', registers: [registry], collect });
  return { registry, gauge };
}

const textsIn = (text: string): number => Number(/^texts (\d+)$/m.exec(text)?.[1]);

/** Whatever a server counts, once each. */
const EVENTS: readonly ((metrics: Metrics) => void)[] = [
  (metrics) => {
    metrics.request('cifar10', '/predict', 200, 0.01);
  },
  (metrics) => {
    metrics.forward('cifar10', 8);
  },
  (metrics) => {
    metrics.queued('cifar10', 0.002);
  },
  (metrics) => {
    metrics.rejected('deadline');
  },
  (metrics) => {
    metrics.promptQueries('cifar10', 'fit', 5);
  },
  (metrics) => {
    metrics.judged('faces', 'image', 'fake', 0.9);
  },
  (metrics) => {
    const matrix = { data: Float32Array.of(0.3, 0.7), rows: 1, cols: 2 };
    metrics.answered('cifar10', {
      count: 1,
      outputs: {},
      timings: { forward: 3, total: 3 },
      probabilities: matrix,
      base: matrix,
      alpha: Float32Array.of(0.4),
      lame: { scope: 'request', samples: 1, iterations: 2, changed: 1 },
      modulation: { missing: [['audio']], unset: ['image'] },
    });
  },
];

/** Enough turns of the event loop for its delay to be measured, every 10 ms. */
async function nextTurns(): Promise<void> {
  const end = process.hrtime.bigint() + 50_000_000n;
  while (process.hrtime.bigint() < end) await nextTurn();
}

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
    const { registry, gauge } = countingItsTexts();
    const text = new ChangedText(registry);
    await Promise.all([text.read(), text.read()]);
    expect(await text.read()).toContain('texts 1');
    text.changed(gauge);
    expect(await text.read()).toContain('texts 2');
  });

  it('of a slow registry is at most five seconds old', async () => {
    const text = new RecentText(countingItsTexts().registry);
    // Timers that are as late as this one's would be where the event loop is held.
    vi.useFakeTimers({ toFake: ['performance'] });
    const [first, second] = await Promise.all([text.read(), text.read()]);
    expect(first).toContain('texts 1');
    expect(second).toBe(first);
    vi.advanceTimersByTime(4999);
    expect(await text.read()).toBe(first);
    vi.advanceTimersByTime(2);
    expect(await text.read()).toContain('texts 2');
  });

  it('of a slow registry is kept ready while somebody reads it', async () => {
    const text = new RecentText(countingItsTexts().registry);
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    expect(await text.read()).toContain('texts 1');
    await vi.advanceTimersByTimeAsync(4000);
    expect(await text.read()).toContain('texts 2');
    await vi.advanceTimersByTimeAsync(100_000);
    const kept = textsIn(await text.read());
    expect(kept).toBeGreaterThan(20);
    await vi.advanceTimersByTimeAsync(3_600_000);
    // Some 35 times in the two minutes after it was read, and now.
    expect(textsIn(await text.read()) - kept).toBeLessThan(40);
  });
});

describe('metrics of a server', () => {
  it('tell of the longest delay since they were read, whatever was kept ready meanwhile', async () => {
    const longest = async (): Promise<number> =>
      Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(await metrics.text())?.[1]);
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    const metrics = new Metrics();
    await longest();
    await nextTurns();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await nextTurns();
    await vi.advanceTimersByTimeAsync(12_000);
    expect(await longest()).toBeGreaterThan(0.4);
    await nextTurns();
    await vi.advanceTimersByTimeAsync(6000);
    expect(await longest()).toBeLessThan(0.4);
  });

  const ofBallast = async (metrics: Metrics): Promise<string[]> =>
    (await metrics.text()).split('\n').filter((line) => /^(# TYPE )?ballast_/.test(line));

  it('show all that was counted, whenever they were read before', async () => {
    const [read, unread] = [new Metrics(), new Metrics()];
    for (const event of EVENTS) {
      await read.text();
      event(read);
      event(unread);
    }
    const lines = await ofBallast(read);
    expect(lines).toEqual(await ofBallast(unread));
    const counted = lines.flatMap((line) => /^# TYPE (\S+) (?:counter|histogram)$/.exec(line)?.[1] ?? []);
    expect(counted.length).toBeGreaterThan(10);
    for (const name of counted) {
      const values = lines
        .filter((line) => line.startsWith(name))
        .map((line) => Number(line.split(' ').at(-1)));
      expect(Math.max(0, ...values), name).toBeGreaterThan(0);
    }
  });
});
