import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { html, jsonForScript, type Html } from "./html.ts";
import { count, short } from "./numbers.ts";
import { extremes, thinOut } from "./thin-out.ts";

/** A line of a chart, one value per step. `likeness: "level"` is a constant reference line. */
export interface Curve {
  readonly label: string;
  readonly values: readonly number[];
  readonly likeness: keyof typeof likenesses;
}

/** Curves over the same steps. The first is described in words under the title. */
export interface Chart {
  readonly title: string;
  readonly explanation: string;
  readonly steps: readonly number[];
  readonly curves: readonly Curve[];
  readonly wide?: boolean;
}

/** uPlot's line options. Colours are CSS variables, which follow light and dark mode. */
const likenesses = {
  main: { colour: "--series-1", width: 2 },
  second: { colour: "--series-2", width: 2 },
  faint: { colour: "--series-faint", width: 1 },
  level: { colour: "--series-quiet", width: 1.5, dash: [6, 4] },
} as const;

/** Charts as figures with a description in words, and their points for {@link chartScript}. */
export function drawCharts(charts: readonly Chart[]): Html {
  return html`<div class="charts">
      ${charts.map(
        (chart, i) =>
          html`<figure class="${chart.wide ? "card wide" : "card"}" aria-labelledby="chart-${i}-title">
            <h3 id="chart-${i}-title">${chart.title}</h3>
            <p class="quiet" id="chart-${i}-course">${courseOf(chart)}</p>
            <div class="chart" id="chart-${i}"></div>
          </figure>`,
      )}
    </div>
    <noscript><p class="quiet">The curves need JavaScript, which is disabled.</p></noscript>
    <script type="application/json" id="charts">
      ${jsonForScript(chartPoints(charts))}
    </script>`;
}

/** Data for {@link chartScript}: thinned points and line styles. */
export function chartPoints(charts: readonly Chart[]) {
  return charts.map(({ title, steps, curves }) => {
    const kept = thinOut(curves.filter(({ likeness }) => likeness !== "level").map(({ values }) => values));
    return {
      title,
      steps: kept.map((i) => steps[i]!),
      curves: curves.map(({ label, values, likeness }) => ({
        label,
        ...likenesses[likeness],
        values: kept.map((i) => Number(values[i]!.toPrecision(6))),
      })),
    };
  });
}

/** Describes a chart's first curve in words, for readers who cannot see it or hover, followed by the explanation. */
export function courseOf({ steps, curves, explanation }: Chart): string {
  const { label, values } = curves[0]!;
  if (values.length === 0) return `Nothing yet. ${explanation}`;
  const at = (i: number) => `${short(values[i]!)} at step ${count(steps[i]!)}`;
  const last = values.length - 1;
  if (last === 0) return `${label} ${at(0)}. ${explanation}`;
  const turns = extremes(values).map((i, which) =>
    i === 0 || i === last ? "" : `, ${which === 0 ? "lowest" : "highest"} ${at(i)}`,
  );
  return `${label} from ${at(0)} to ${at(last)}${turns.join("")}. ${explanation}`;
}

/** uPlot and the code that calls it, for an inline script. */
export const chartScript = (): string => `${uPlotFile("uPlot.iife.min.js")}\n${drawing}`;

export const chartStyles = (): string => `${uPlotFile("uPlot.min.css")}
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.charts .wide { grid-column: 1 / -1; }
.chart { margin-top: .75rem; overflow: hidden; }
.chart .uplot { font: inherit; color: var(--ink); }
.chart .u-legend { font-size: .85rem; text-align: left; margin: 0; }
.chart .u-legend .u-value { font-variant-numeric: tabular-nums; min-width: 4.5em; }
.chart .u-select { background: color-mix(in srgb, var(--ink) 12%, transparent); }
.chart .u-cursor-x, .chart .u-cursor-y { border-color: var(--ink-2) !important; }
`;

function uPlotFile(name: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), "utf8").trim();
}

/** Code for the browser. All charts share a cursor, so hovering shows the same step in each. */
const drawing = `
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const written = (value) => value == null ? "–" : Math.abs(value) < 1e-4 && value ? value.toExponential() : String(value);
const rounded = (value) => value == null ? value : Number(value.toPrecision(4));
const step = (value) => value == null ? "–" : value.toLocaleString("en");
const placeOf = (i) => document.getElementById("chart-" + i);
const sizeOf = ({ clientWidth: width }) => ({ width, height: width > 700 ? 300 : 220 });
const draw = (chart, i) => {
  const line = { stroke: () => colour("--line"), width: 1 };
  const axis = { stroke: () => colour("--ink-2"), font: "12px system-ui, sans-serif", grid: line, ticks: line };
  const plot = new uPlot({
    ...sizeOf(placeOf(i)),
    scales: { x: { time: false } },
    cursor: { y: false, sync: { key: "step", scales: ["x", null] }, points: { size: 8, width: 2, fill: () => "var(--surface)", stroke: (u, s) => "var(" + chart.curves[s - 1].colour + ")" } },
    legend: { markers: { width: 0, fill: (u, s) => s === 0 ? "transparent" : "var(" + chart.curves[s - 1].colour + ")" } },
    axes: [
      { ...axis, space: 70, values: (u, ticks) => ticks.map(step) },
      { ...axis, size: (u, ticks) => 20 + 7.5 * Math.max(2, ...(ticks ?? []).map(({ length }) => length)), values: (u, ticks) => ticks.map(written) },
    ],
    series: [
      { label: "Step", value: (u, value) => step(value) },
      ...chart.curves.map(({ label, colour: name, width, dash }) => ({
        label, width, dash, stroke: () => colour(name), value: (u, value) => written(rounded(value)),
        points: dash ? { show: false } : { size: 6, fill: () => colour(name) },
      })),
    ],
  }, pointsOf(chart), placeOf(i));
  plot.root.querySelector("canvas").setAttribute("role", "img");
  plot.root.querySelector("canvas").setAttribute("aria-label", "Curve: " + chart.title);
  return plot;
};
const pointsOf = ({ steps, curves }) => [steps, ...curves.map(({ values }) => values)];
const plots = JSON.parse(document.getElementById("charts").textContent).map(draw);
plots.forEach((_, i) => new ResizeObserver(() => plots[i].setSize(sizeOf(placeOf(i)))).observe(placeOf(i)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw()));
`;
