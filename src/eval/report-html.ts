import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { cellRow, columnsOf, percent, signedPoints } from './report-columns.js';
import { PAGE_SCRIPT } from './report-page-script.js';
import { PAGE_STYLE } from './report-page-style.js';
import type { Cell, Report } from './report-schema.js';

/**
 * The report as one page that needs no network: tables that are there without scripts, charts by Chart.js, which is
 * inside, as is the report itself as JSON.
 */
export async function htmlOf(report: Report): Promise<string> {
  const { model, data, recommendation } = report;
  const title = `Does adaptation help ${model.name}?`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>${escaped(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p class="about">${escaped(`${data.samples} pictures of ${data.source} · ${model.classes} classes · ${model.provider} · seed ${report.seed} · Ballast ${report.ballast}`)}</p>
<section class="advice">
<p>${escaped(recommendation.summary)}</p>
${recommendation.fragment === '' ? '' : `<pre><code># model.yaml\n${escaped(recommendation.fragment.trimEnd())}</code></pre>`}
</section>
<h2>For each kind of traffic</h2>
<div class="table words">${tableOf(
    ['traffic', 'requests of', 'take', 'why'],
    recommendation.traffic.map(({ stream, batch, method, reason }) => ({
      texts: [stream, String(batch), method, reason],
    })),
  )}</div>
<h2>Charts</h2>
<div class="controls">
${selectOf('stream', 'Order of arrival', shown(report, 'stream'))}
${selectOf('batch', 'Pictures a request', shown(report, 'batch'))}
</div>
<div class="charts">
${chart('gain', 'Gain in accuracy over the base model, points')}
${chart('accuracy', 'Accuracy, %')}
${chart('calibration', 'Expected calibration error, points (less is better)')}
${chart('time', 'Milliseconds a sample')}
</div>
<p class="hint">Thin lines are 95 % intervals. A gain whose line crosses 0 may be chance.</p>
<h2>All numbers</h2>
${tablesOf(report)}
${calibrationOf(report)}
${skippedOf(report)}
<h2>How it was measured</h2>
<ul>${report.notes.map((note) => `<li>${escaped(note)}</li>`).join('')}</ul>
<script type="application/json" id="report">${JSON.stringify(report).replaceAll('<', '\\u003c')}</script>
<script>${await chartLibrary()}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

interface Row {
  readonly texts: readonly string[];
  readonly base?: boolean;
  /** Class of the cell at a place. */
  readonly marks?: Readonly<Record<number, string>>;
}

function tableOf(head: readonly string[], rows: readonly Row[], caption = ''): string {
  const cells = ({ texts, marks = {} }: Row): string =>
    texts.map((text, i) => `<td${marks[i] ? ` class="${marks[i]}"` : ''}>${escaped(text)}</td>`).join('');
  return `<table>${caption === '' ? '' : `<caption>${escaped(caption)}</caption>`}<thead><tr>${head
    .map((text) => `<th scope="col">${escaped(text)}</th>`)
    .join('')}</tr></thead><tbody>${rows
    .map((row) => `<tr${row.base ? ' class="base"' : ''}>${cells(row)}</tr>`)
    .join('')}</tbody></table>`;
}

function tablesOf(report: Report): string {
  return report.streams
    .flatMap((stream) =>
      report.batches.map((batch) => {
        const cells = report.cells.filter((cell) => cell.stream === stream && cell.batch === batch);
        if (cells.length === 0) return '';
        const columns = columnsOf(cells);
        const rows = cells.map((cell) => rowOf(cell, columns));
        const errors = report.corruptionErrors
          .filter((one) => one.stream === stream && one.batch === batch && one.method !== 'base')
          .map(({ method, value }) => `${method} ${percent(value)}`);
        const caption =
          errors.length === 0 ? '' : `Mean corruption error, base = 100.0: ${errors.join(', ')}`;
        return `<details><summary>${escaped(stream)}, requests of ${batch}</summary><div class="table">${tableOf(columns, rows, caption)}</div></details>`;
      }),
    )
    .join('\n');
}

function rowOf(cell: Cell, columns: readonly string[]): Row {
  const gain = cell.gain?.accuracy;
  const mark = (gain?.low ?? 0) > 0 ? 'up' : (gain?.high ?? 0) < 0 ? 'down' : '';
  const base = cell.method === 'base';
  return { texts: cellRow(cell, columns), base, marks: { [columns.indexOf('gain, points')]: mark } };
}

function calibrationOf({ calibration }: Report): string {
  if (calibration === undefined) return '';
  const { before, after, judgedOn, written } = calibration;
  const rows = [before, after].map(({ temperature, calibrationError, logLoss }) => ({
    texts: [String(temperature), percent(calibrationError), logLoss.toFixed(4)],
  }));
  const change = signedPoints(after.calibrationError - before.calibrationError);
  return `<h2>Temperature</h2><div class="table">${tableOf(['temperature', 'ECE, points', 'log loss'], rows, `On ${judgedOn} pictures that it was not fitted on; calibration error ${change} points`)}</div><p>${written ? 'It is in model.yaml now.' : 'It was not written to model.yaml, since the log loss is not less.'}</p>`;
}

function skippedOf({ data }: Report): string {
  if (data.skipped.length === 0) return '';
  const items = data.skipped.map(({ file, reason }) => `<li>${escaped(file)}: ${escaped(reason)}</li>`);
  return `<h2>Skipped files</h2><details><summary>${data.skipped.length} files could not be read as pictures</summary><ul>${items.join('')}</ul></details>`;
}

function chart(id: string, title: string): string {
  return `<figure><h3>${escaped(title)}</h3><div class="canvas"><canvas id="${id}" role="img" aria-label="${escaped(title)}; the numbers are in the tables below"></canvas></div></figure>`;
}

function selectOf(id: string, label: string, values: readonly string[]): string {
  const options = values.map((value) => `<option>${escaped(value)}</option>`).join('');
  return `<label>${escaped(label)}<select id="${id}">${options}</select></label>`;
}

function shown({ cells }: Report, key: 'stream' | 'batch'): string[] {
  return [...new Set(cells.map((cell) => String(cell[key])))];
}

/** Its file for browsers, which the package does not export by name. */
async function chartLibrary(): Promise<string> {
  const entry = createRequire(import.meta.url).resolve('chart.js');
  const code = await readFile(join(dirname(entry), 'chart.umd.min.js'), 'utf8');
  return code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n').replaceAll('</script', '<\\/script');
}

function escaped(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (sign) => entities[sign]);
}
