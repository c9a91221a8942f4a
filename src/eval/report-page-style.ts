/** The style of report.html: readable by day and by night, on paper and on a phone. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; --ground: #fff; --card: #f6f7f9; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --mark: #0b63c5; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --card: #1a2028; --ink: #e6eaf0; --soft: #9aa6b5; --line: #313a46; --mark: #6cb0ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: .95rem; margin: 0 0 .5rem; }
.about, .hint, caption { color: var(--soft); }
.hint, caption { font-size: .87rem; }
.advice { border-left: 4px solid var(--mark); background: var(--card); border-radius: 0 8px 8px 0; padding: 1rem 1.25rem; margin: 1.5rem 0; }
.advice p { margin: 0 0 .75rem; font-weight: 600; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; margin: 0; overflow-x: auto; font-size: .87rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .83rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 .5rem; }
th, td { text-align: right; padding: .4rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2), .words th, .words td { text-align: left; }
.words td:last-child { white-space: normal; min-width: 20rem; }
tr.base td { color: var(--soft); }
td.up { color: #13833b; font-weight: 600; }
td.down { color: #c0362c; font-weight: 600; }
@media (prefers-color-scheme: dark) { td.up { color: #59d08b; } td.down { color: #ff8a80; } }
.controls { display: flex; flex-wrap: wrap; gap: 1rem; margin: 0 0 1rem; }
.controls label { color: var(--soft); font-size: .87rem; }
select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .3rem .5rem; margin-left: .4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 1rem; }
.canvas { position: relative; height: 18rem; }
details { margin: 0 0 .75rem; border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem; }
summary { cursor: pointer; font-weight: 600; }
details[open] summary { margin-bottom: .75rem; }
@media print { details { break-inside: avoid; } .controls { display: none; } }
`;
