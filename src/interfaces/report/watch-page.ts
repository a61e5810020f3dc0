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

/** Constant properties of a run. */
export interface WatchedRun extends Pick<TrainReport, "model" | "batchSize" | "config"> {
  /** Without validation there are no scores and no sample predictions. */
  readonly hasValidation: boolean;
  /** Whether a caption decoder is trained. */
  readonly hasDecoder: boolean;
}

/** Current state of a run. */
export interface WatchState {
  /** After the last step; undefined before the first. */
  readonly progress: WatchProgress | undefined;
  /** In ascending order of steps, as in the report. */
  readonly metrics: readonly TrainMetric[];
  readonly validation: readonly ValidationResult[];
  /** Pairs per second of each step since the process started, at `firstSpeed`. */
  readonly speeds: readonly number[];
  readonly firstSpeed: number;
  readonly findings: TrainReport["findings"];
  /** As in the report, or the reason for having none. */
  readonly predictions: readonly SamplePrediction[] | string;
  /** A sentence about the end; undefined while it runs. */
  readonly outcome: string | undefined;
}

export interface WatchProgress {
  /** Updates made, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly pairsPerSecond: number;
  readonly secondsLeft: number | undefined;
  /** Share of the time spent waiting for data, in [0, 1]. */
  readonly waitShare: number;
}

/** Page that follows a run. Its server sends changed {@link watchParts} as server-sent events at `events`. */
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
      <p class="quiet hint">Hover for values, drag to zoom, double-click to zoom out.</p>
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

/** HTML of {@link watchPage}'s changing parts by element id, plus `title`, a text, and `points`, the charts as JSON. */
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
    findings: html`<h2>Findings</h2>
      ${findings.length > 0 ? findingList(findings) : html`<p class="quiet">None so far.</p>`}`,
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
    title: "Pairs per second",
    explanation: "Per step; lower after a validation or checkpoint.",
    steps: speeds.map((_, i) => firstSpeed + i),
    curves: noisyCurves("Pairs per second", speeds),
  };
  // Keeps the rows of two charts full.
  const first = [...(hasValidation ? [ofValidation] : []), ...(hasDecoder ? [captionChart({ metrics })] : [])];
  return [{ ...loss, wide: first.length !== 1 }, ...first, ...others, speed];
}

function positionInWords(progress: WatchProgress | undefined, outcome: string | undefined): string {
  if (!progress) return outcome ?? "Reading the data and preparing the model.";
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
    ["Pairs per second", progress && short(progress.pairsPerSecond)],
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

/** Code for the browser, after that of the charts: inserts received parts. Zoomed charts stay zoomed. */
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
events.onerror = () => tell("No answer: the training process has ended. This page shows its last state, and reconnects if it resumes at this address.", "gone");
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
