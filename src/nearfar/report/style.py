"""How the page looks: one style sheet, two palettes, no font or file from elsewhere.

Blue is what is near (positives, ours), vermilion what is far (negatives, chance): a pair that colour-blind readers tell
apart (Okabe and Ito, "Color Universal Design", 2008), lightened on dark ground.
"""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #ffffff; --ink: #1d2127; --muted: #646b75; --rule: #e1e2de; --code: #f5f5f1;
  --near: #1267a8; --far: #c4520a; --near-wash: #e9f2f9; --far-wash: #fbefe6; --dim: #a9afb8;
  --word: #8a3d8f; --string: #2f7a3e; --number: #a5540a; --name: #1267a8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --card: #1b1f25; --ink: #e6e8ea; --muted: #9aa2ad; --rule: #343a43; --code: #171b20;
    --near: #63b3ec; --far: #f0955a; --near-wash: #182733; --far-wash: #30221a; --dim: #5a626d;
    --word: #d3a0dc; --string: #93cf9c; --number: #e9b178; --name: #7fc1f0;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, sans-serif;
}
main, header, footer { max-width: 52rem; margin: 0 auto; }
.brand { display: flex; align-items: center; gap: .5rem; color: var(--muted); font-size: .875rem; }
.brand svg { width: 1.9rem; height: 1rem; }
h1 { font-size: clamp(1.6rem, 1.2rem + 2.2vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; margin: .9rem 0 .4rem;
  text-wrap: balance; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .9rem; }
.subtitle { color: var(--muted); font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
.verdict { margin: 1.75rem 0 0; padding: .95rem 1.2rem; border-left: 4px solid var(--muted); background: var(--card);
  border-radius: 0 .4rem .4rem 0; font-size: 1.1rem; line-height: 1.5; overflow-wrap: anywhere; }
.verdict.good { border-color: var(--near); background: var(--near-wash); }
.verdict.bad { border-color: var(--far); background: var(--far-wash); }
.facts { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: 1.1rem 1.5rem; margin: 1.9rem 0 0; }
.facts div { border-top: 1px solid var(--rule); padding-top: .5rem; display: flex; flex-direction: column; }
.facts dt { color: var(--muted); font-size: .82rem; line-height: 1.3; }
.facts dd { margin: .1rem 0 0; font-size: 1.35rem; font-weight: 600; letter-spacing: -.01em; line-height: 1.25;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts dd small { display: block; font-size: .82rem; font-weight: 400; letter-spacing: 0; color: var(--muted);
  white-space: nowrap; }
section { margin-top: 3.25rem; }
figure { margin: 0; }
figcaption, .note { color: var(--muted); font-size: .9rem; line-height: 1.5; margin: .75rem 0 0; max-width: 44rem; }
figcaption b { color: var(--ink); font-weight: 600; }
.figure svg { display: block; width: 100%; height: auto; overflow: visible; }
.figure.narrow { display: none; }
ul.findings { margin: 1rem 0 0; padding: 0; list-style: none; }
ul.findings li { padding-left: 1.2rem; position: relative; margin-top: .5rem; overflow-wrap: anywhere; }
ul.findings li::before { content: ""; position: absolute; left: 0; top: .55em; width: .55rem; height: .55rem;
  border-radius: 50%; background: var(--muted); }
ul.findings li.better::before { background: var(--near); }
ul.findings li.worse::before { background: var(--far); }
.scroll { overflow-x: auto; margin-top: 1.1rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: .82rem;
  border-bottom: 1px solid var(--muted); }
td { border-bottom: 1px solid var(--rule); }
th, td { padding: .45rem .9rem .45rem 0; vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
td small { color: var(--muted); font-size: .85em; white-space: nowrap; }
tr.ours td:first-child { color: var(--near); font-weight: 600; }
.finding { margin-top: 1rem; padding: .8rem 1.1rem; border-left: 4px solid var(--muted); background: var(--card);
  border-radius: 0 .4rem .4rem 0; overflow-wrap: anywhere; }
.finding.error { border-color: var(--far); background: var(--far-wash); } .finding.warning { border-color: var(--far); }
.finding.fine { border-color: var(--near); background: var(--near-wash); }
.finding h3 { margin: 0 0 .25rem; font-size: 1rem; } .finding p { margin: .2rem 0 0; font-size: .92rem; line-height: 1.5; }
.finding b { color: var(--muted); font-weight: 600; }
.asked { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 2rem; }
.asked h3 { font-size: 1rem; margin: 0 0 .2rem; }
.asked article { border-top: 1px solid var(--rule); padding: .6rem 0 .7rem; font-size: .9rem; line-height: 1.45; }
.asked p { margin: 0; overflow-wrap: anywhere; }
.asked dl { display: grid; grid-template-columns: 4.6rem 1fr; gap: .15rem .6rem; margin: .3rem 0 0; }
.asked dt { color: var(--muted); font-size: .82rem; } .asked dd { margin: 0; overflow-wrap: anywhere; color: var(--muted); }
.asked .ask { font-weight: 600; } .asked dd, .asked .ask { display: -webkit-box; -webkit-line-clamp: 3;
  -webkit-box-orient: vertical; overflow: hidden; }
.search { margin-top: 1.5rem; border: 1px solid var(--rule); border-radius: .6rem; background: var(--card);
  overflow: hidden; }
.query { display: flex; gap: .7rem; padding: .8rem 1rem; font-weight: 600; overflow-wrap: anywhere; line-height: 1.4; }
.query svg { flex: none; width: 1rem; height: 1rem; margin-top: .2rem; color: var(--muted); }
details { border-top: 1px solid var(--rule); }
summary { display: flex; gap: .75rem; align-items: baseline; padding: .55rem 1rem; cursor: pointer;
  list-style: none; font-size: .92rem; }
summary::-webkit-details-marker { display: none; }
summary:hover, summary:focus-visible { background: var(--near-wash); }
summary::before { content: "\\203a"; color: var(--muted); flex: none; width: .4rem; transition: transform .12s; }
details[open] > summary::before { transform: rotate(90deg); }
.fold { border: 1px solid var(--rule); border-radius: .6rem; background: var(--card); overflow: hidden; }
.fold .scroll { margin: 0; padding: .2rem 1rem .8rem; border-top: 1px solid var(--rule); }
.hit { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.title { font-weight: 600; margin-right: .6rem; }
.where { color: var(--muted); font-size: .85rem; }
.score { color: var(--muted); font-variant-numeric: tabular-nums; }
.badge { font-size: .75rem; color: var(--near); background: var(--near-wash); border: 1px solid var(--near);
  border-radius: 1rem; padding: 0 .5rem; margin-right: .6rem; white-space: nowrap; }
code, pre, .where { font-family: ui-monospace,
   "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; padding: .8rem 1rem; overflow-x: auto; font-size: .8rem; line-height: 1.5; background: var(--code);
  tab-size: 4; border-top: 1px solid var(--rule); }
pre .c { color: var(--muted); font-style: italic; } pre .k { color: var(--word); } pre .s { color: var(--string); }
pre .m { color: var(--number); } pre .n { color: var(--name); }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--muted); font-size: .85rem;
  overflow-wrap: anywhere; }
@media (max-width: 600px) {
  body { padding: 1.5rem 1rem 3rem; }
  .facts dd small { display: block; font-size: .82rem; font-weight: 400; letter-spacing: 0; color: var(--muted);
  white-space: nowrap; }
section { margin-top: 2.5rem; }
  .figure.wide { display: none; } .figure.narrow { display: block; }
  .facts { grid-template-columns: repeat(2, 1fr); gap: .9rem 1rem; }
  .where { display: block; }
}
@media print {
  body { padding: 0; background: none; }
  figure, .search, tr { break-inside: avoid; }
}
"""

MARK = (
    '<svg viewBox="0 0 38 20" aria-hidden="true"><circle cx="7" cy="11" r="4.2" fill="var(--near)"/>'
    '<circle cx="14.5" cy="7.5" r="4.2" fill="var(--near)" opacity=".6"/>'
    '<circle cx="33" cy="13" r="4.2" fill="var(--far)"/></svg>'
)
LENS = (
    '<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" '
    'aria-hidden="true"><circle cx="7" cy="7" r="4.6"/><path d="M10.6 10.6 14 14"/></svg>'
)
