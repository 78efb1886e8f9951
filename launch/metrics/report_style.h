// SPDX-License-Identifier: Apache-2.0
// The style sheet of report.html.
#pragma once

namespace strata {

inline constexpr const char* kReportStyle = R"css(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b2330; --soft: #667085; --rule: #e6e9ee;
  --edge: #e1e5eb; --c1: #2463eb; --c2: #e0662b; --c3: #12866b; --c4: #8b46d8; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1217; --card: #161c24; --ink: #e7ebf1; --soft: #93a0b4;
  --rule: #242d39; --edge: #232c38; --c1: #6ea0ff; --c2: #ff9a62; --c3: #45c9a5; --c4: #bf91ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 16px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 18px; }
h1 { font-size: 25px; line-height: 1.2; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
header .state { font-size: 13px; color: var(--soft); border: 1px solid var(--edge); border-radius: 99px;
  padding: 1px 11px; background: var(--card); }
header p { flex-basis: 100%; margin: 0; color: var(--soft); }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 14px; }
.cards { display: grid; grid-template-columns: repeat(6, 1fr); gap: 14px; margin-bottom: 14px; }
@media (max-width: 980px) { .cards { grid-template-columns: repeat(3, 1fr); } }
@media (max-width: 560px) { .cards { grid-template-columns: repeat(2, 1fr); gap: 10px; } }
.card, figure, .panel { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; }
.card { padding: 12px 16px 13px; }
.card span { display: block; color: var(--soft); font-size: 13px; }
.card b { font-size: 22px; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.card small { display: block; color: var(--soft); font-size: 12.5px; }
figure { margin: 0; padding: 14px 18px 12px; min-width: 0; }
/* the wide one comes first: an even last one would stand alone in its row */
figure.wide, .grid2 figure:last-child:nth-child(even) { grid-column: 1 / -1; }
figcaption { font-weight: 620; display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 7px; }
figcaption small { color: var(--soft); font-weight: 400; }
.legend { margin-left: auto; display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 13px; font-weight: 400;
  color: var(--soft); }
.legend b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; background: var(--c);
  vertical-align: 4px; margin-right: 6px; }
.c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
.plot { position: relative; height: 210px; margin: 14px 4px 26px 46px; }
.wide .plot { height: clamp(240px, 34vw, 370px); }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; overflow: visible; }
.plot path { fill: none; stroke: var(--c); stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
.plot .grid { stroke: var(--rule); stroke-width: 1; }
.plot .line { stroke-width: 2; } .plot .faint { stroke-width: 1.1; opacity: .32; } .plot .dot { stroke-width: 7; }
.plot span { position: absolute; font-size: 12px; line-height: 1; color: var(--soft); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.plot .y { right: calc(100% + 8px); transform: translateY(-50%); }
.plot .x { top: calc(100% + 9px); transform: translateX(-50%); }
.note { margin: -4px 0 0; font-size: 12.5px; color: var(--soft); }
.panel { padding: 6px 18px; margin-top: 14px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 8px 0; border-bottom: 1px solid var(--rule); vertical-align: top; font-weight: 400; }
tr:last-child > * { border-bottom: 0; }
th { color: var(--soft); padding-right: 20px; width: 11em; }
td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; padding: 7px 0; font-weight: 620; }
pre { margin: 4px 0 12px; overflow-x: auto; font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { margin-top: 16px; color: var(--soft); font-size: 13px; }
)css";

}  // namespace strata
