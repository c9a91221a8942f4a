import { describe, expect, it } from 'vitest';
import { cellsOf } from '#ballast/eval/cell-metrics.js';
import { outcomeOf } from '#ballast/eval/outcome.js';
import { recommend } from '#ballast/eval/recommend.js';
import { htmlOf } from '#ballast/eval/report-html.js';
import { markdownOf } from '#ballast/eval/report-markdown.js';
import { reportSchema, type Cell, type Report } from '#ballast/eval/report-schema.js';

const LABELS = Uint32Array.from({ length: 40 }, (_, i) => i % 2);
const ARRIVAL = { order: Uint32Array.from(LABELS.keys()), blocks: Uint32Array.from(LABELS.keys()) };

/** Answers of two classes that are right but for the first `wrong`. */
function answers(wrong: number): ReturnType<typeof outcomeOf> {
  const data = Float32Array.from({ length: 80 }, (_, i) => {
    const sample = Math.floor(i / 2);
    return (i % 2 === LABELS[sample]) === sample >= wrong ? 0.8 : 0.2;
  });
  return outcomeOf({ data, rows: 40, cols: 2 }, LABELS, { alpha: new Float32Array(40).fill(0.5) });
}

async function cells(condition = 'clean'): Promise<Cell[]> {
  const group = {
    condition,
    stream: 'shuffled',
    batch: 8,
    arrival: ARRIVAL,
    labels: LABELS,
    classes: 2,
    seed: 1,
  };
  return cellsOf(group, [
    { method: 'base', outcome: answers(20), msPerSample: 1 },
    { method: 'lame', outcome: answers(4), msPerSample: 2 },
  ]);
}

async function reportWith(source: string): Promise<Report> {
  const own = [...(await cells()), ...(await cells('fog:3'))];
  return {
    schemaVersion: 1,
    ballast: '1.2.3',
    model: { name: 'net', version: '1', provider: 'cpu', classes: 2, temperature: 1 },
    data: {
      source,
      samples: 40,
      classes: { a: 20, b: 20 },
      skipped: [{ file: 'a/x.jpg', reason: 'no picture' }],
      digest: '0',
    },
    seed: 1,
    conditions: ['clean', 'fog:3'],
    streams: ['shuffled'],
    batches: [8],
    methods: ['base', 'lame'],
    cells: own,
    corruptionErrors: [{ stream: 'shuffled', batch: 8, method: 'lame', value: 0.2 }],
    calibration: {
      fittedOn: 20,
      judgedOn: 20,
      before: { temperature: 1, calibrationError: 0.1, logLoss: 0.5 },
      after: { temperature: 2, calibrationError: 0.05, logLoss: 0.4 },
      written: true,
    },
    recommendation: recommend(own),
    notes: ['A note.'],
  };
}

describe('cellsOf', () => {
  it('has each metric with its interval, and paired gains', async () => {
    const [base, lame] = await cells();
    expect(base.gain).toBeUndefined();
    expect(base.metrics.accuracy.value).toBe(0.5);
    expect(lame.metrics.accuracy.value).toBe(0.9);
    expect(lame.gain?.accuracy.value).toBeCloseTo(0.4, 9);
    expect(lame.gain?.accuracy.low).toBeGreaterThan(0.2);
    expect(lame.gain?.accuracy.high).toBeLessThan(0.6);
    // Where all samples that differ change from wrong to right, the log loss cannot rise.
    expect(lame.gain?.logLoss.high).toBeLessThan(0);
    expect(lame.metrics.auroc?.value).toBeGreaterThan(base.metrics.auroc!.value!);
    expect(lame.changed).toBe(0.4);
    expect(lame.alpha).toMatchObject({ mean: 0.5, least: 0.5, greatest: 0.5, positive: 1 });
  });
});

describe('reports', () => {
  it('are what the schema says, and come through JSON', async () => {
    const report = await reportWith('pictures');
    expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(reportSchema.safeParse({ ...report, schemaVersion: 2 }).success).toBe(false);
  });

  it('tell the numbers in Markdown', async () => {
    const text = markdownOf(await reportWith('a|b <c>'));
    expect(text).toContain('# Does adaptation help net?');
    expect(text).toMatch(/\| clean \| lame \| 90\.0 \\\[.*\+40\.0/);
    expect(text).toContain('lame:\n  scope: request');
    expect(text).toContain('Mean corruption error, base = 100.0: lame 20.0.');
    expect(text).toContain('- a/x.jpg: no picture');
    expect(text).toContain('temperature 1 to 2');
    expect(text).toContain(String.raw`a\|b \<c>`);
    const widths = text
      .split('\n')
      .filter((line) => line.startsWith('| clean'))
      .map((line) => line.split(' | ').length);
    expect(new Set(widths).size).toBe(1);
  });

  it('are a page that needs no network and that no name breaks out of', async () => {
    const evil = '</script><img src=x onerror=alert(1)>';
    const page = await htmlOf(await reportWith(evil));
    expect(page).not.toContain(evil);
    expect(page).not.toContain('<img');
    expect(page).not.toMatch(/<(script|link|img)[^>]+(src|href)=/);
    expect(page).not.toContain('sourceMappingURL');
    const [, data] = /<script type="application\/json" id="report">(.*?)<\/script>/s.exec(page)!;
    expect((JSON.parse(data) as Report).data.source).toBe(evil);
    // Two closing tags for the page's own scripts and the data, none from the library.
    expect(page.match(/<\/script/g)).toHaveLength(3);
    expect(page).toContain('<td class="up">+40.0 [');
  });
});
