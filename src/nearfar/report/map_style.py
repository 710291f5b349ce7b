"""How the map looks; colours of points are in `map.js`, since a canvas knows no style sheet."""

from __future__ import annotations

MAP_CSS = """
.wide-section { width: min(74rem, 100vw - 3.5rem); margin-left: 50%; transform: translateX(-50%); }
.map { border: 1px solid var(--rule); border-radius: .6rem; background: var(--card); overflow: hidden; }
.map-bar { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; padding: .6rem .9rem;
  border-bottom: 1px solid var(--rule); font-size: .88rem; }
.map-bar label { color: var(--muted); display: flex; align-items: center; gap: .45rem; }
.map-search { flex: 0 1 22rem; }
.map-bar input, .map-bar select { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--rule);
  border-radius: .35rem; padding: .28rem .5rem; min-width: 0; max-width: 100%; }
.map-search input { flex: 1; }
.map-bar output { color: var(--muted); font-variant-numeric: tabular-nums; margin-right: auto; }
.map-body { display: grid; grid-template-columns: minmax(0, 1fr) 19rem; }
.map-stage { position: relative; height: min(38rem, 80vh); min-height: 20rem; overflow: hidden; }
.map canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; cursor: grab; }
.map canvas:active { cursor: grabbing; } .map canvas.on { cursor: pointer; }
.map canvas:focus-visible { outline: 2px solid var(--near); outline-offset: -2px; }
.map-zoom { position: absolute; right: .6rem; top: .6rem; display: flex; flex-direction: column; }
.map-zoom button { width: 2rem; height: 2rem; padding: .45rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--rule); cursor: pointer; }
.map-zoom svg { display: block; }
.map-zoom button + button { border-top: 0; }
.map-zoom button:first-child { border-radius: .35rem .35rem 0 0; } .map-zoom button:last-child { border-radius: 0 0 .35rem .35rem; }
.map-zoom button:hover { background: var(--near-wash); }
.map-tip { position: absolute; max-width: min(22rem, 70%); padding: .45rem .65rem; background: var(--card); color: var(--ink);
  border: 1px solid var(--rule); border-radius: .4rem; box-shadow: 0 2px 10px #0003; font-size: .82rem; line-height: 1.4;
  pointer-events: none; overflow-wrap: anywhere; }
.map-tip[hidden] { display: none; }
.map-tip span { display: -webkit-box; -webkit-line-clamp: 6; -webkit-box-orient: vertical; overflow: hidden; }
.map-tip small { display: block; color: var(--muted); margin-top: .15rem; }
.map-side { border-left: 1px solid var(--rule); font-size: .85rem; line-height: 1.4; max-height: min(38rem, 80vh);
  min-height: 20rem; overflow-y: auto; padding: .8rem .9rem; display: flex; flex-direction: column; gap: 1rem; }
.map-side h3 { font-size: .78rem; font-weight: 600; color: var(--muted); margin: 0 0 .35rem; }
.map-side button { font: inherit; color: inherit; background: none; border: 0; padding: .16rem .3rem; margin: 0 -.3rem;
  text-align: left; cursor: pointer; border-radius: .3rem; width: calc(100% + .6rem); }
.map-side button:hover, .map-side button:focus-visible { background: var(--near-wash); }
.map-legend:empty { display: none; }
.map-entry { display: flex; align-items: baseline; gap: .5rem; }
.map-entry i { flex: none; width: .65rem; height: .65rem; border-radius: 50%; }
.map-entry span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.map-side small { color: var(--muted); font-variant-numeric: tabular-nums; flex: none; }
.map-entry[aria-pressed="false"] { opacity: .4; }
.map-ramp { height: .7rem; border-radius: .35rem; }
.map-ends { display: flex; justify-content: space-between; color: var(--muted); font-variant-numeric: tabular-nums; }
.map-hint { color: var(--muted); margin: 0; }
.map-chosen { display: flex; align-items: flex-start; gap: .4rem; }
.map-chosen p { flex: 1; min-width: 0; margin: 0; font-weight: 600; overflow-wrap: anywhere; outline: none;
  display: -webkit-box; -webkit-line-clamp: 8; -webkit-box-orient: vertical; overflow: hidden; }
.map-side .map-close { width: auto; font-size: 1.1rem; line-height: 1; color: var(--muted); margin: 0; }
.map-picked dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .7rem; margin: .5rem 0 .9rem; }
.map-picked dt { color: var(--muted); } .map-picked dd { margin: 0; overflow-wrap: anywhere; }
.map-picked ol { list-style: none; margin: 0; padding: 0; }
.map-picked li button { display: flex; gap: .55rem; align-items: baseline; }
.map-picked li span { min-width: 0; overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 3;
  -webkit-box-orient: vertical; overflow: hidden; }
.map-keys { color: var(--muted); font-size: .8rem; margin: 0; padding: .5rem .9rem; border-top: 1px solid var(--rule); }
.map noscript p { padding: 0 .9rem; }
kbd { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; border: 1px solid var(--rule);
  border-radius: .25rem; padding: 0 .25rem; background: var(--paper); }
@media (max-width: 800px) {
  .wide-section { width: auto; margin-left: 0; transform: none; }
  .map-body { grid-template-columns: minmax(0, 1fr); }
  .map-stage { height: min(24rem, 65vh); }
  .map-side { border-left: 0; border-top: 1px solid var(--rule); max-height: none; min-height: 0; }
  .map-legend:not(:empty) { display: flex; flex-wrap: wrap; gap: 0 .9rem; }
  .map-legend h3 { width: 100%; } .map-legend .map-entry { width: auto; margin: 0; } .map-ramp, .map-ends { width: 100%; }
}
@media print { .map-bar, .map-zoom, .map-keys { display: none; } }
"""
