#pragma once

#include <string_view>

namespace tandem {

// Internal to the room: the style sheet of a report, for light and dark screens and for paper.
inline constexpr std::string_view kReportStyle = R"(
:root { --ink: #1c2430; --soft: #5b6675; --line: #d9dee6; --paper: #ffffff; --panel: #f6f8fa;
  --accent: #2f6fb7; --good: #1d7a46; --bad: #b3261e; --product: #dbe9f8; --movement: #eceff3;
  --other: #e6f3ea; --shade0: #bcd7f2; --shade1: #cde9d5; --shade2: #f3ddb9; --shade3: #e0d2ee; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e9ef; --soft: #9aa5b4; --line: #39424f;
  --paper: #14181e; --panel: #1c222a; --accent: #74aee8; --good: #67c690; --bad: #f2877f;
  --product: #23405f; --movement: #2b323c; --other: #24453a; --shade0: #2b4f74; --shade1: #2b5a40;
  --shade2: #6a5126; --shade3: #51406a; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 8px 0 4px; }
h2 { font-size: 18px; margin: 36px 0 4px; border-bottom: 1px solid var(--line);
  padding-bottom: 4px; }
.note { color: var(--soft); margin: 4px 0 10px; max-width: 75ch; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px;
  padding: 8px 12px; white-space: pre-wrap; word-break: break-word; font-size: 13px; }
table { border-collapse: collapse; width: 100%; margin: 8px 0; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
section { overflow-x: auto; }
.badge { display: inline-block; border-radius: 12px; padding: 1px 10px; margin: 2px 8px 2px 0;
  font-size: 13px; border: 1px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); }
.bar { position: relative; background: var(--panel); border-radius: 3px; min-width: 170px; }
.bar div { position: absolute; inset: 0 auto 0 0; background: var(--accent); opacity: .28;
  border-radius: 3px; }
.bar span { position: relative; padding: 0 8px; font-variant-numeric: tabular-nums; }
.scroll { overflow: auto; max-height: 900px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--panel); padding: 6px; }
.scroll svg { display: block; margin: 0 auto; }
svg text { fill: var(--ink); font-size: 12px; text-anchor: middle; }
svg .title { font-weight: 600; font-size: 13px; }
svg .end-title { font-size: 12px; }
svg .line { fill: var(--soft); font-size: 11px; }
svg .mark { text-anchor: end; fill: var(--soft); font-size: 11px; }
svg .step { fill: var(--soft); font-size: 11px; }
svg rect { stroke: var(--line); rx: 5px; }
svg .product { fill: var(--product); } svg .movement { fill: var(--movement); }
svg .other { fill: var(--other); } svg .end { fill: var(--paper); rx: 13px; }
svg .buffer { rx: 1px; stroke: var(--paper); }
svg .shade0 { fill: var(--shade0); } svg .shade1 { fill: var(--shade1); }
svg .shade2 { fill: var(--shade2); } svg .shade3 { fill: var(--shade3); }
svg .edge { fill: none; stroke: var(--soft); stroke-width: 1.3; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .peak { stroke: var(--accent); stroke-width: 1.6; }
svg .bound { stroke: var(--accent); stroke-width: 1.4; stroke-dasharray: 5 4; }
@media print { .scroll { max-height: none; } }
)";

}  // namespace tandem
