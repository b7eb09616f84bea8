#include "eval/report_style.h"

#include <string>

namespace etrlrec {
namespace {

constexpr std::string_view kColors = R"(
:root{color-scheme:light dark;--paper:#faf8f3;--card:#fffefb;--ink:#20201d;--soft:#5d5a52;--faint:#8d897e;--line:#e3dfd3;
--accent:#b0452a;--true:#26734a;--false:#b3302a;--open:#7c786d;--true-tint:#e2f0e4;--false-tint:#f9e1dd;--open-tint:#eeebe2;
--c0:#2b6cb0;--c1:#c4532d;--c2:#4b8b3b;--c3:#8a5aa8;--c4:#b98a1d;--c5:#55606b}
@media (prefers-color-scheme:dark){:root{--paper:#171715;--card:#1f1f1c;--ink:#ebe8df;--soft:#b3afa4;--faint:#8a867b;
--line:#36342f;--accent:#e88b6c;--true:#7fce9c;--false:#f0897f;--open:#a39f94;--true-tint:#1f3527;--false-tint:#43231f;
--open-tint:#2d2b27;--c0:#74aee8;--c1:#ee9167;--c2:#8fcb78;--c3:#c49fdf;--c4:#e2bb5a;--c5:#a6b1bc}}
)";

constexpr std::string_view kText = R"(
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 Charter,"Bitstream Charter","Iowan Old Style",Georgia,serif}
main{max-width:1200px;margin:0 auto;padding:56px 32px 72px}
h1{font-size:40px;line-height:1.15;font-weight:600;letter-spacing:-.01em;margin:6px 0 14px;max-width:26em}
h2{font-size:23px;font-weight:600;margin:60px 0 4px;padding-top:18px;border-top:1px solid var(--line)}
h3{font-size:18px;font-weight:600;margin:0}
.kicker,th,.tick,.legend,figcaption,.tag,.gap,.detail,.event,.tiles dt,.facts,.numbers,.candidates,.note,.badge{
font-family:Inter,"Segoe UI","Helvetica Neue",Arial,"Liberation Sans",sans-serif}
.kicker{font-size:12px;letter-spacing:.14em;text-transform:uppercase;color:var(--accent);font-weight:600}
.lead{font-size:20px;line-height:1.5;max-width:44em;margin:0;color:var(--soft)}
.intro{max-width:46em;margin:4px 0 20px;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:1px;background:var(--line);
border:1px solid var(--line);margin:32px 0 0}
.tiles div{background:var(--card);padding:16px 20px 14px}
.tiles dt{font-size:12.5px;color:var(--soft)}
.tiles dd{margin:2px 0 0;font-size:32px;line-height:1.15;font-variant-numeric:lining-nums}
.tiles small{font-size:13px;color:var(--faint);display:block;margin-top:2px}
.note{font-size:13px;line-height:1.5;color:var(--soft);margin:12px 0 0}
)";

constexpr std::string_view kTables = R"(
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
.numbers{font-size:14px;font-variant-numeric:tabular-nums lining-nums;background:var(--card);border:1px solid var(--line)}
.numbers th{font-size:12px;font-weight:600;color:var(--soft);text-align:right;padding:10px 9px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
.numbers td{padding:8px 9px;text-align:right;border-top:1px solid var(--line);white-space:nowrap}
.numbers tbody tr:first-child td{border-top:0}
.numbers .words{text-align:left}
.numbers .words small{color:var(--faint);margin-left:7px;font-size:13px}
.numbers b{font-weight:700;color:var(--accent)}
.numbers .range{display:block;color:var(--faint);font-size:12px}
.numbers tr.ground td{color:var(--soft);font-style:italic;background:color-mix(in srgb,var(--paper) 60%,var(--card))}
.whisker{display:block;width:170px;height:20px;overflow:visible}
.numbers .tight .whisker{width:140px}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:10px 28px;font-size:13.5px;margin:18px 0 0}
.facts div{border-top:1px solid var(--line);padding-top:7px}
.facts dt{color:var(--faint);font-size:12px}
.facts dd{margin:0;overflow-wrap:anywhere}
.share{display:inline-block;height:8px;background:var(--c0);border-radius:2px;vertical-align:middle;min-width:1px}
)";

constexpr std::string_view kPlots = R"(
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:18px}
.plots.small{grid-template-columns:repeat(auto-fill,minmax(236px,1fr));gap:14px}
.small .tick{font-size:13.5px}
.plot{margin:0;background:var(--card);border:1px solid var(--line);padding:14px 14px 8px;display:flex;flex-direction:column}
.plot svg{margin-top:auto;width:100%}
figcaption{font-size:13.5px;font-weight:600;margin-bottom:3px}
.legend{display:flex;flex-wrap:wrap;gap:1px 13px;font-size:12px;color:var(--soft);margin-bottom:4px}
.legend span{display:inline-flex;align-items:center;gap:5px}
.swatch{width:14px;height:3px;border-radius:2px;background:currentColor}
.empty{color:var(--faint);font-style:italic}
svg .grid{stroke:var(--line);stroke-width:1}
svg .axis{stroke:var(--faint);stroke-width:1}
svg .tick{font-size:10.5px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .mid{text-anchor:middle} svg .end{text-anchor:end}
svg .halo{paint-order:stroke;stroke:var(--card);stroke-width:3px;fill:var(--accent)}
svg .line{fill:none;stroke:currentColor;stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
svg .faint{stroke-width:1;opacity:.26}
svg .dot{fill:currentColor}
svg .bar{fill:var(--c0);opacity:.85}
svg .level{stroke:var(--accent);stroke-width:1.2;stroke-dasharray:4 3}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}.c5{color:var(--c5)}
svg .reach{fill:var(--c0);opacity:.25}
svg .span{stroke:var(--c0);stroke-width:1.6}
svg .mean{fill:var(--c0);stroke:var(--card);stroke-width:1.2}
svg .mark{stroke-width:1.4}
svg .random{stroke:var(--faint);stroke-dasharray:2 2}
svg .bayes{stroke:var(--accent)}
.key{display:inline-block;width:0;height:14px;border-left:2px dashed var(--faint);vertical-align:-2px;margin:0 5px 0 2px}
.key.bayes{border-left:2px solid var(--accent);margin-left:14px}
)";

constexpr std::string_view kExamples = R"(
.example{background:var(--card);border:1px solid var(--line);margin:22px 0 0;padding:20px 24px 24px;break-inside:avoid}
.example header{display:flex;flex-wrap:wrap;align-items:baseline;gap:6px 14px;margin-bottom:10px}
.badge{font-size:12px;font-weight:600;padding:2px 10px;border-radius:10px;background:var(--false-tint);color:var(--false)}
.badge.hit{background:var(--true-tint);color:var(--true)}
.timeline{display:block;width:100%}
.timeline .lead{fill:none;stroke:var(--faint);stroke-width:1;opacity:.65}
.timeline .thread{stroke:var(--c0);stroke-width:2}
.timeline .point{fill:var(--c0);stroke:var(--card);stroke-width:1.5}
.timeline .point.now{fill:var(--card);stroke:var(--accent);stroke-width:2.4}
.timeline .pill{fill:var(--card);stroke:var(--line)}
.timeline .gap{font-size:11px;fill:var(--soft);text-anchor:middle}
.timeline .event{font-size:12.5px;font-weight:600;fill:var(--ink);text-anchor:middle}
.timeline .event.now{fill:var(--accent)}
.timeline .detail{font-size:11.5px;fill:var(--soft);text-anchor:middle}
.columns{display:grid;grid-template-columns:minmax(0,1.12fr) minmax(0,1fr);gap:36px;margin-top:24px}
@media (max-width:820px){.columns{grid-template-columns:minmax(0,1fr)}main{padding:32px 16px}h1{font-size:30px}}
.columns h4{margin:0 0 6px;font:600 12px/1.4 Inter,"Segoe UI","Helvetica Neue",Arial,"Liberation Sans",sans-serif;color:var(--soft)}
.candidates{font-size:13px;line-height:1.3;font-variant-numeric:tabular-nums}
.candidates td{padding:2.5px 8px 2.5px 0;vertical-align:middle}
.candidates td:first-child{color:var(--faint);text-align:right;width:26px}
.candidates .title{white-space:normal;overflow-wrap:anywhere}
.candidates .title small{color:var(--faint);font-size:12px;margin-left:5px}
.candidates .meter{width:118px;padding-right:6px}
.candidates .value{width:40px;text-align:right;padding-right:0;color:var(--soft)}
.meter div{position:relative;height:9px;background:var(--open-tint);border-radius:2px}
.meter i{position:absolute;inset:0 auto 0 0;background:var(--c0);border-radius:2px}
.meter u{position:absolute;top:-2px;bottom:-2px;width:2px;margin-left:-1px;background:var(--accent)}
.candidates tr.truth td{background:var(--true-tint)}
.candidates tr.wrong td{background:var(--false-tint)}
.tag{font-size:10.5px;font-weight:600;padding:0 6px;border-radius:7px;margin-left:6px;white-space:nowrap;border:1px solid currentColor}
.tag.truth{color:var(--true)} .tag.answer{color:var(--c0)}
.reasoning{font:14px/2 ui-monospace,"DejaVu Sans Mono","Liberation Mono",Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
.example h5{margin:12px 0 2px;font-size:13px;color:var(--soft,inherit)}
ul.sentences{list-style:none;margin:0;padding:0}ul.sentences li{padding:2px 0 2px 22px;position:relative}
ul.sentences li::before{content:"?";position:absolute;left:2px;font-weight:700;color:var(--open)}
ul.sentences li.true::before{content:"✓";color:var(--true)}ul.sentences li.false::before{content:"✗";color:var(--false)}
ul.sentences li small{opacity:.75}
.decision{font-weight:600;margin:12px 0}details summary{cursor:pointer;font-size:13px;margin:8px 0}
.claim{padding:2px 4px;border-radius:3px;border-bottom:2px solid;background:var(--open-tint);color:var(--ink);border-color:var(--open)}
.claim::after{content:" ?";font-weight:700;color:var(--open)}
.claim.true{background:var(--true-tint);border-color:var(--true)}.claim.true::after{content:" ✓";color:var(--true)}
.claim.false{background:var(--false-tint);border-color:var(--false)}.claim.false::after{content:" ✗";color:var(--false)}
.outcome{margin:16px 0 0;padding:12px 0 0;border-top:1px solid var(--line);display:grid;grid-template-columns:auto 1fr;gap:3px 14px}
.outcome dt{color:var(--soft)} .outcome dd{margin:0}
footer{margin-top:56px;padding-top:16px;border-top:1px solid var(--line);color:var(--faint);font-size:14px}
@media print{main{padding:0;max-width:none}.example,.plot,table{break-inside:avoid}}
)";

}  // namespace

std::string_view report_style() {
  static const std::string style = std::string(kColors) + std::string(kText) +
                                   std::string(kTables) + std::string(kPlots) +
                                   std::string(kExamples);
  return style;
}

}  // namespace etrlrec
