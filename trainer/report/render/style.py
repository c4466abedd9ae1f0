"""The style sheet of the HTML page: dark text on light, tables that scroll inside themselves, phones, print."""

from __future__ import annotations

CSS = """
:root { --ink: #1c2330; --soft: #5b6574; --line: #d9dde3; --panel: #f5f7f9; --accent: #0b5a8a;
  --gain: #0a6847; --loss: #a33b00; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
header p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3.5rem 0 .6rem; padding-top: 1.2rem;
  border-top: 2px solid var(--ink); scroll-margin-top: 1rem; }
h3 { font-size: 1.12rem; margin: 2.4rem 0 .5rem; scroll-margin-top: 1rem; }
h4 { font-size: .92rem; margin: 0 0 .45rem; }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; }
li { margin: .35rem 0; }
p.lead { font-size: 1.06rem; }
nav { display: flex; flex-wrap: wrap; gap: .4rem 1.1rem; margin: 1.2rem 0 0; font-size: .93rem; }
a { color: var(--accent); text-underline-offset: .18em; }
.findings { background: var(--panel); border-left: 4px solid var(--accent); border-radius: 0 6px 6px 0;
  margin: 1.6rem 0 0; padding: 1rem 1.4rem .7rem; }
.findings h2 { border: 0; margin: 0; padding: 0; font-size: 1.05rem; }
.findings ul { margin: .4rem 0; }
.block { margin: 1.8rem 0; }
.scroll { overflow: auto; max-width: 100%; }
.block > .scroll { max-height: 80vh; border: 1px solid var(--line); border-radius: 6px; width: fit-content; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); background: #fff; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { vertical-align: bottom; line-height: 1.3; font-weight: 600;
  position: sticky; top: 0; z-index: 1; background: var(--panel); }
th:first-child { position: sticky; left: 0; text-align: left; border-right: 1px solid var(--line); }
thead th:first-child { z-index: 2; }
tbody th { font-weight: 600; }
tbody tr:hover > * { background: #eef3f7; }
th.text, td.text { text-align: left; }
td small { display: block; color: var(--soft); font-size: .78rem; line-height: 1.25; }
td.muted { color: var(--soft); }
td.gain { color: var(--gain); font-weight: 650; }
td.loss { color: var(--loss); font-weight: 650; }
td.differs { background: #fdf0d0; font-weight: 650; }
th[title], td[title] { text-decoration: underline dotted #9aa3af; text-underline-offset: .25em; }
.label { white-space: nowrap; }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .5em; }
.note { color: var(--soft); font-size: .86rem; margin: .45rem 0 0; }
figure { margin: 1.8rem 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .86rem; margin-top: .3rem; max-width: 48rem; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); gap: 0 1.6rem; }
.row.tables { display: flex; flex-wrap: wrap; }
.row .block { max-width: 100%; margin: .8rem 0; min-width: 0; }
.row figure { margin: .8rem 0; min-width: 0; }
details { margin: 1.6rem 0; }
summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  main { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  h2 { margin-top: 2.6rem; }
  th, td { padding: .38rem .5rem; }
  .findings { padding: .8rem 1rem .5rem; }
}
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  .scroll, .block > .scroll { overflow: visible; max-height: none; border: 0; width: auto; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .35rem; }
  thead th, th:first-child { position: static; }
  figure, tr, .findings { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  figure svg { min-width: 0 !important; }
  details::details-content { content-visibility: visible; }
  a { color: inherit; text-decoration: none; }
}
"""
