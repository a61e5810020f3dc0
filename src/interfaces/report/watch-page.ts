import { chartPoints, chartScript, chartStyles, courseOf, drawCharts, type Chart } from "./charts.ts";
import { html, type Html } from "./html.ts";
import { count, duration, percent, short } from "./numbers.ts";
import { figures, page } from "./page.ts";
import { predictionStyles, type SamplePrediction } from "./prediction-cards.ts";
import {
  findingList,
  noisyCurves,
  samplePredictions,
  settingsTable,
  captionChart,
  toldApart,
  trainCharts,
  type TrainMetric,
  type TrainReport,
  trainStyles,
  type ValidationResult,
} from "./train-page.ts";

/** What of a run stays the same. */
export interface WatchedRun extends Pick<TrainReport, "model" | "batchSize" | "config"> {
  /** Whether it is validated: without, there are no scores and no sample predictions. */
  readonly hasValidation: boolean;
  /** Whether a decoder learns to write captions beside the model. */
  readonly hasDecoder: boolean;
}

/** What of a run changes. */
export interface WatchState {
  /** After the last step; undefined before the first. */
  readonly progress: WatchProgress | undefined;
  /** By step, ascending, as in the report. */
  readonly metrics: readonly TrainMetric[];
  readonly validation: readonly ValidationResult[];
  /** Pairs a second of each step from `firstSpeed` on: of this stretch of the run. */
  readonly speeds: readonly number[];
  readonly firstSpeed: number;
  readonly findings: TrainReport["findings"];
  /** As in the report, or why there are none. */
  readonly predictions: readonly SamplePrediction[] | string;
  /** How it ended, in a sentence; undefined while it goes on. */
  readonly outcome: string | undefined;
}

/** How far a run is. */
export interface WatchProgress {
  /** Updates made, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly pairsPerSecond: number;
  readonly secondsLeft: number | undefined;
  /** Share of the time in which the step waited for data, in [0, 1]. */
  readonly waitShare: number;
}

/**
 * The page that shows a run while it goes on. What changes comes as server-sent events from `events` of its own server, each with
 * some of the parts that {@link watchParts} gives.
 */
export function watchPage(run: WatchedRun): string {
  const { model, config, hasValidation } = run;
  return page({
    title: `${model}: training`,
    styles: chartStyles() + predictionStyles + trainStyles + styles,
    script: `${chartScript()}\n${listening}`,
    asksServer: true,
    body: html`<header>
        <p class="quiet" id="state" role="status">Connecting …</p>
        <h1><bdi>${model}</bdi></h1>
        <p class="lead" id="position"></p>
        <div id="bar"></div>
      </header>
      <div id="figures"></div>
      <div id="findings" aria-live="polite"></div>
      <h2>Curves</h2>
      <p class="quiet hint">Hover for values, drag to zoom, double-click to see all again.</p>
      ${drawCharts(chartsOf(run, { metrics: [], validation: [], speeds: [], firstSpeed: 1 }))}
      ${
        hasValidation
          ? html`<h2>Sample predictions</h2>
              <div id="predictions"></div>`
          : ""
      }
      ${settingsTable(config)}`,
  });
}

/** The parts of {@link watchPage} by the ids of their elements, as HTML; but `title`, which is text, and `points`, the charts as JSON. */
export function watchParts(run: WatchedRun, state: WatchState): Record<string, string> {
  const { progress, findings, predictions, outcome } = state;
  const charts = chartsOf(run, state);
  const done = progress ? progress.step / progress.steps : 0;
  const parts: Record<string, Html> = {
    position: html`${positionInWords(progress, outcome)}`,
    bar: progress
      ? html`<progress max="${progress.steps}" value="${progress.step}" aria-label="Steps"></progress>`
      : html``,
    figures: figures(figuresOf(run, state)),
    findings: html`<h2>The doctor</h2>
      ${findings.length > 0 ? findingList(findings) : html`<p class="quiet">Nothing to remark so far.</p>`}`,
    ...Object.fromEntries(charts.map((chart, i) => [`chart-${i}-course`, html`${courseOf(chart)}`])),
    ...(run.hasValidation && { predictions: predictionsPart(predictions) }),
    outcome: html`${outcome ?? ""}`,
  };
  return {
    ...Object.fromEntries(Object.entries(parts).map(([id, { text }]) => [id, text])),
    title: `${outcome === undefined ? `${Math.floor(100 * done)} %` : "ended"} · ${run.model}`,
    points: JSON.stringify(chartPoints(charts)),
  };
}

function chartsOf(
  { batchSize, hasValidation, hasDecoder }: WatchedRun,
  { metrics, validation, speeds, firstSpeed }: Pick<WatchState, "metrics" | "validation" | "speeds" | "firstSpeed">,
): Chart[] {
  const [loss, ofValidation, ...others] = trainCharts({ batchSize, metrics, validation }) as [Chart, Chart, ...Chart[]];
  const speed: Chart = {
    title: "Pairs a second",
    explanation: "Of each step; lower where a validation or a checkpoint came between.",
    steps: speeds.map((_, i) => firstSpeed + i),
    curves: noisyCurves("Pairs a second", speeds),
  };
  // Two in a row, and none left over.
  const first = [...(hasValidation ? [ofValidation] : []), ...(hasDecoder ? [captionChart({ metrics })] : [])];
  return [{ ...loss, wide: first.length !== 1 }, ...first, ...others, speed];
}

function positionInWords(progress: WatchProgress | undefined, outcome: string | undefined): string {
  if (!progress) return outcome ?? "Reading the data and making the model ready: the first step is yet to come.";
  const { step, steps, epoch, secondsLeft } = progress;
  const position = `Step ${count(step)} of ${count(steps)}, epoch ${count(epoch)}`;
  if (outcome !== undefined) return `${position}. ${outcome}`;
  return secondsLeft === undefined ? `${position}.` : `${position}: ${duration(secondsLeft)} left.`;
}

function figuresOf(
  { batchSize, hasValidation }: WatchedRun,
  { progress, metrics, validation }: WatchState,
): [string, string][] {
  const [metric, scores] = [metrics.at(-1), validation.at(-1)];
  const chance = short(Math.log(batchSize));
  const known: [string, string | undefined][] = [
    [`Loss (chance ${chance})`, metric && short(toldApart(metric))],
    [scores ? `Top-1 at step ${count(scores.step)}` : "Top-1", scores && percent(scores.top1)],
    ["Pairs a second", progress && short(progress.pairsPerSecond)],
    ["Time waiting for data", progress && percent(progress.waitShare)],
  ];
  return known
    .filter(([name]) => hasValidation || !name.startsWith("Top-1"))
    .map(([name, value]) => [name, value ?? "–"]);
}

function predictionsPart(predictions: WatchState["predictions"]): Html {
  if (typeof predictions === "string") return html`<p class="quiet">${predictions}</p>`;
  return samplePredictions(predictions);
}

/**
 * Runs in the reader's browser, behind the lines that draw: puts each part that comes into its place. Charts that somebody has
 * zoomed into stay so.
 */
const listening = `
const show = (chart, i) => {
  const { series, scales, data: [steps] } = plots[i];
  if (series.length !== chart.curves.length + 1) {
    plots[i].destroy();
    plots[i] = draw(chart, i);
    return;
  }
  const isZoomed = steps.length > 1 && (scales.x.min > steps[0] || scales.x.max < steps.at(-1));
  plots[i].setData(pointsOf(chart), !isZoomed);
  if (isZoomed) plots[i].redraw();
};
const state = document.getElementById("state");
const tell = (word, kind) => { state.textContent = word; state.className = "quiet " + kind; };
const events = new EventSource("events");
events.onopen = () => tell("Live", "live");
events.onerror = () => tell("No answer from the training: its process has ended or was stopped. What it said last stays here; should it go on at this address, so will this page.", "gone");
events.onmessage = ({ data }) => {
  const { title, points, outcome, ...parts } = JSON.parse(data);
  if (title !== undefined) document.title = title;
  if (points !== undefined) JSON.parse(points).forEach(show);
  for (const [id, content] of Object.entries(parts)) document.getElementById(id).innerHTML = content;
  if (outcome) {
    events.close();
    tell("Ended", "ended");
  }
};
`;

const styles = `
#state::before { content: ""; display: inline-block; width: .6rem; height: .6rem; margin-right: .45rem; border-radius: 50%; background: var(--idle); }
#state.live::before { background: var(--right); }
#state.gone::before { background: var(--wrong); }
progress { display: block; width: 100%; height: .5rem; margin-top: .9rem; border: 0; border-radius: .25rem; overflow: hidden; background: var(--track); accent-color: var(--series-1); appearance: none; }
progress::-webkit-progress-bar { background: var(--track); }
progress::-webkit-progress-value { background: var(--series-1); }
progress::-moz-progress-bar { background: var(--series-1); }
`;
