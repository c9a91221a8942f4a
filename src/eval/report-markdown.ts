import { cellRow, columnsOf, percent, signedPoints } from './report-columns.js';
import type { Report } from './report-schema.js';

/** The report as Markdown: the recommendation first, then a table for each kind of traffic. */
export function markdownOf(report: Report): string {
  const { model, data, recommendation, calibration } = report;
  return [
    `# Does adaptation help ${escaped(model.name)}?`,
    `${data.samples} pictures of ${escaped(data.source)}, ${model.classes} classes, model ${escaped(model.name)} on ${model.provider}, seed ${report.seed}, Ballast ${report.ballast}.`,
    '## Recommendation',
    recommendation.summary,
    ...(recommendation.fragment === ''
      ? []
      : ['In model.yaml:', `\`\`\`yaml\n${recommendation.fragment}\`\`\``]),
    table(
      ['traffic', 'requests of', 'take', 'why'],
      recommendation.traffic.map(({ stream, batch, method, reason }) => [
        stream,
        String(batch),
        method,
        reason,
      ]),
    ),
    ...(calibration === undefined ? [] : ['## Temperature', calibrationText(calibration)]),
    ...trafficTables(report),
    ...(data.skipped.length === 0
      ? []
      : [
          '## Skipped files',
          data.skipped.map(({ file, reason }) => `- ${escaped(file)}: ${escaped(reason)}`).join('\n'),
        ]),
    '## How it was measured',
    report.notes.map((note) => `- ${note}`).join('\n'),
  ]
    .join('\n\n')
    .concat('\n');
}

function trafficTables(report: Report): string[] {
  return report.streams.flatMap((stream) =>
    report.batches.flatMap((batch) => {
      const cells = report.cells.filter((cell) => cell.stream === stream && cell.batch === batch);
      if (cells.length === 0) return [];
      const columns = columnsOf(cells);
      const errors = report.corruptionErrors
        .filter((one) => one.stream === stream && one.batch === batch && one.method !== 'base')
        .map(({ method, value }) => `${method} ${percent(value)}`);
      return [
        `## ${stream}, requests of ${batch}`,
        table(
          columns,
          cells.map((cell) => cellRow(cell, columns)),
        ),
        ...(errors.length === 0 ? [] : [`Mean corruption error, base = 100.0: ${errors.join(', ')}.`]),
      ];
    }),
  );
}

function calibrationText({ before, after, judgedOn, written }: NonNullable<Report['calibration']>): string {
  return [
    `On ${judgedOn} pictures that it was not fitted on, from temperature ${before.temperature} to ${after.temperature}: expected calibration error ${percent(before.calibrationError)} to ${percent(after.calibrationError)} points (${signedPoints(after.calibrationError - before.calibrationError)}), log loss ${before.logLoss.toFixed(4)} to ${after.logLoss.toFixed(4)}.`,
    written
      ? 'It is in model.yaml now.'
      : 'It was not written to model.yaml, since the log loss is not less.',
  ].join(' ');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  return [line(head), `| ${head.map(() => '---').join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** What would be markup in a name is shown as it is. */
function escaped(text: string): string {
  return text.replaceAll(/[\\|`*_<[\]]/g, (sign) => `\\${sign}`).replaceAll('\n', ' ');
}
