/** What draws the charts of report.html: plain JavaScript for the browser, with Chart.js loaded before it. */
export const PAGE_SCRIPT = `
'use strict';
(() => {
  const report = JSON.parse(document.getElementById('report').textContent);
  const palette = ['#7a8594', '#0b82d8', '#e08a00', '#10a37f', '#c2559d', '#d5513f', '#6f5bd6', '#9c7a1c'];
  const colourOf = (method) => palette[report.methods.indexOf(method) % palette.length];
  const select = (id) => document.getElementById(id);
  const charts = [];

  // A line from the low to the high end of each bar's interval.
  const whiskers = {
    id: 'whiskers',
    afterDatasetsDraw(chart) {
      const { ctx, scales } = chart;
      ctx.save();
      ctx.strokeStyle = chart.options.ink;
      ctx.lineWidth = 1.25;
      chart.data.datasets.forEach((dataset, i) => {
        if (!dataset.intervals || !chart.isDatasetVisible(i)) return;
        chart.getDatasetMeta(i).data.forEach((bar, j) => {
          const [low, high] = dataset.intervals[j] ?? [];
          if (low == null || high == null) return;
          const [top, bottom] = [scales.y.getPixelForValue(high), scales.y.getPixelForValue(low)];
          ctx.beginPath();
          ctx.moveTo(bar.x, top);
          ctx.lineTo(bar.x, bottom);
          for (const end of [top, bottom]) {
            ctx.moveTo(bar.x - 3, end);
            ctx.lineTo(bar.x + 3, end);
          }
          ctx.stroke();
        });
      });
      ctx.restore();
    },
  };

  function draw() {
    for (const chart of charts.splice(0)) chart.destroy();
    const stream = select('stream').value;
    const batch = Number(select('batch').value);
    const cells = report.cells.filter((cell) => cell.stream === stream && cell.batch === batch);
    const conditions = [...new Set(cells.map((cell) => cell.condition))];
    const methods = report.methods.filter((method) => cells.some((cell) => cell.method === method));
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue('--ink').trim();
    const soft = style.getPropertyValue('--soft').trim();
    const line = style.getPropertyValue('--line').trim();
    const cellAt = (condition, method) =>
      cells.find((cell) => cell.condition === condition && cell.method === method);
    const bars = (names, of) =>
      names.map((method) => {
        const found = conditions.map((condition) => of(cellAt(condition, method)));
        return {
          label: method,
          backgroundColor: colourOf(method),
          borderRadius: 2,
          maxBarThickness: 40,
          data: found.map((one) => (one?.value == null ? null : 100 * one.value)),
          intervals: found.map((one) => (one?.low == null ? null : [100 * one.low, 100 * one.high])),
        };
      });
    const make = (id, labels, datasets, y) => {
      const ends = datasets.flatMap((dataset) => (dataset.intervals ?? []).filter(Boolean).flat());
      charts.push(
        new Chart(select(id), {
          type: 'bar',
          data: { labels, datasets },
          plugins: [whiskers],
          options: {
            ink,
            animation: false,
            maintainAspectRatio: false,
            interaction: { mode: 'index' },
            plugins: {
              legend: { display: datasets.length > 1, labels: { color: ink, boxWidth: 12 } },
              tooltip: {
                callbacks: {
                  label: ({ dataset, raw, dataIndex }) => {
                    const own = dataset.intervals?.[dataIndex];
                    const range = own ? ' [' + own.map((end) => end.toFixed(1)).join(', ') + ']' : '';
                    return dataset.label + ': ' + (raw == null ? '?' : raw.toFixed(raw < 10 ? 2 : 1)) + range;
                  },
                },
              },
            },
            scales: {
              x: { ticks: { color: soft }, grid: { display: false } },
              y: {
                ticks: { color: soft },
                grid: { color: line },
                ...(ends.length > 0 && { suggestedMin: Math.min(0, ...ends), suggestedMax: Math.max(...ends) }),
                ...y,
              },
            },
          },
        }),
      );
    };
    const gained = methods.filter((method) => method !== 'base');
    make('gain', conditions, bars(gained, (cell) => cell?.gain?.accuracy));
    make('accuracy', conditions, bars(methods, (cell) => cell?.metrics.accuracy), { max: 100 });
    make('calibration', conditions, bars(methods, (cell) => cell?.metrics.calibrationError));
    const times = methods.map((method) => {
      const own = cells.filter((cell) => cell.method === method);
      return own.reduce((sum, cell) => sum + cell.msPerSample, 0) / own.length;
    });
    make('time', methods, [{ label: 'ms a sample', data: times, backgroundColor: methods.map(colourOf), borderRadius: 2, maxBarThickness: 56 }]);
  }

  // First what the recommendation is about.
  const helped = report.recommendation.traffic.find((advice) => advice.method !== 'base');
  if (helped) {
    select('stream').value = helped.stream;
    select('batch').value = String(helped.batch);
  }
  select('stream').addEventListener('change', draw);
  select('batch').addEventListener('change', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
})();
`;
