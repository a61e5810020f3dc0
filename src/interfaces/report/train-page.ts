import { chartScript, chartStyles, drawCharts, type Chart, type Curve } from "./charts.ts";
import { html, type Html } from "./html.ts";
import { count, counted, duration, percent, short } from "./numbers.ts";
import { figures, page } from "./page.ts";
import { isRight, predictionCards, predictionStyles, type SamplePrediction } from "./prediction-cards.ts";

export interface TrainReport {
  readonly model: string;
  /** Pairs per batch; chance is a loss of ln(batchSize). */
  readonly batchSize: number;
  /** Settings to show, in order. */
  readonly config: Readonly<Record<string, string | number | boolean>>;
  readonly totals: TrainTotals;
  /** In ascending order of steps; long curves are thinned. */
  readonly metrics: readonly TrainMetric[];
  /** In ascending order of steps; empty without validation. */
  readonly validation: readonly ValidationResult[];
  /** Suspected problems, with advice. */
  readonly findings: readonly { readonly step: number; readonly text: string }[];
  /** About two dozen validation images with the final model's answers. */
  readonly predictions: readonly SamplePrediction[];
}

export interface TrainTotals {
  /** Optimizer updates. */
  readonly steps: number;
  /** Pairs seen, including repeats. */
  readonly pairs: number;
  /** Wall-clock time of the training, in seconds. */
  readonly durationSeconds: number;
  /** Share of the time spent waiting for data, in [0, 1]. */
  readonly waitingShare: number;
  /** Unreadable images, with reasons. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** A line of metrics.jsonl. NaN values are gaps in the curve. */
export interface TrainMetric {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Parts of the loss of runs with a caption decoder. */
  readonly contrastiveLoss?: number;
  readonly captionLoss?: number;
  readonly learningRate: number;
  /** Global gradient norm before clipping. */
  readonly gradientNorm: number;
  /** Log of the scale, at most ln 100. */
  readonly logitScale: number;
}

/** Zero-shot scores on the validation images. */
export interface ValidationResult {
  readonly step: number;
  /** Share of images whose label ranks first, and among the first five. */
  readonly top1: number;
  readonly top5: number;
  /** Numbers of images and labels. */
  readonly count: number;
  readonly classes: number;
}

/** Limit of listed skipped images. */
const maxSkippedShown = 200;

/** Report of a training run, a self-contained HTML document: result, curves, sample predictions, settings. */
export function trainPage(report: TrainReport): string {
  const { model, config, totals, validation, findings, predictions } = report;
  const charts = [...trainCharts(report), captionChart(report)].filter(({ steps }) => steps.length > 0);
  return page({
    title: `${model}: training report`,
    styles: chartStyles() + predictionStyles + trainStyles,
    script: chartScript(),
    body: html`<header>
        <p class="quiet">Training report</p>
        <h1><bdi>${model}</bdi></h1>
        <p class="lead">${resultInWords(report)}</p>
      </header>
      ${figures(figuresOf(report))}
      ${totals.skipped.length > 0 ? skippedList(totals.skipped) : html`<p class="quiet">Every image could be read.</p>`}
      ${
        findings.length > 0
          ? html`<h2>Findings</h2>
              ${findingList(findings)}`
          : ""
      }
      <h2>Curves</h2>
      ${
        charts.length === 0
          ? html`<p>No step was recorded.</p>`
          : html`<p class="quiet hint">Hover for values, drag to zoom, double-click to zoom out.</p>
              ${drawCharts(charts)}`
      }
      ${validation.length > 0 ? validationTable(validation) : ""}
      ${
        predictions.length > 0
          ? html`<h2>Sample predictions</h2>
              ${samplePredictions(predictions)}`
          : ""
      }
      ${settingsTable(config)}`,
  });
}

function resultInWords({ totals, metrics, validation }: TrainReport): string {
  const last = validation.at(-1);
  if (last) {
    return (
      `After ${counted(last.step, "step")} the model classifies ${percent(last.top1)} of ` +
      `${counted(last.count, "validation image")} correctly, with ${counted(last.classes, "label")}; ` +
      `chance is ${percent(1 / last.classes)}.`
    );
  }
  const met = metrics.at(-1);
  const loss = met && toldApart(met);
  return `After ${counted(totals.steps, "step")} ${loss === undefined ? "nothing was measured" : `the loss is ${short(loss)}`}.`;
}

function figuresOf({ batchSize, totals, metrics, validation }: TrainReport): [string, string][] {
  const figures: [string, string][] = [];
  const [lastMetric, lastValidation] = [metrics.at(-1), validation.at(-1)];
  if (lastValidation) figures.push(["Top-1", percent(lastValidation.top1)], ["Top-5", percent(lastValidation.top5)]);
  if (lastMetric) figures.push([`Last loss (chance ${short(Math.log(batchSize))})`, short(toldApart(lastMetric))]);
  figures.push(
    [lastMetric ? `Steps (to epoch ${count(lastMetric.epoch)})` : "Steps", count(totals.steps)],
    ["Pairs seen", count(totals.pairs)],
    ["Time", duration(totals.durationSeconds)],
    ["Pairs per second", totals.durationSeconds > 0 ? short(totals.pairs / totals.durationSeconds) : "–"],
    ["Time waiting for data", percent(totals.waitingShare)],
  );
  return figures;
}

/** The contrastive loss, without a decoder's share. */
export function toldApart({ contrastiveLoss, loss }: TrainMetric): number {
  return contrastiveLoss ?? loss;
}

export function trainCharts({
  batchSize,
  metrics,
  validation,
}: Pick<TrainReport, "batchSize" | "metrics" | "validation">): Chart[] {
  const steps = metrics.map(({ step }) => step);
  const column = (key: "learningRate" | "gradientNorm" | "logitScale") => metrics.map((metric) => metric[key]);
  const chance = Math.log(batchSize);
  return [
    {
      title: "Loss",
      explanation: `Chance is ln ${batchSize} = ${short(chance)}.`,
      steps,
      curves: [
        ...noisyCurves("Loss", metrics.map(toldApart)),
        { label: "Chance", values: steps.map(() => chance), likeness: "level" },
      ],
      wide: true,
    },
    {
      title: "Validation, %",
      explanation: "Share of images whose label ranks first, or among the first five.",
      steps: validation.map(({ step }) => step),
      curves: [
        { label: "Top-1", values: validation.map(({ top1 }) => 100 * top1), likeness: "main" },
        { label: "Top-5", values: validation.map(({ top5 }) => 100 * top5), likeness: "second" },
      ],
    },
    {
      title: "Learning rate",
      explanation: "",
      steps,
      curves: [{ label: "Learning rate", values: column("learningRate"), likeness: "main" }],
    },
    {
      title: "Logit scale",
      explanation: "Log of the factor applied to cosines, which is at most 100.",
      steps,
      curves: [{ label: "Logit scale", values: column("logitScale"), likeness: "main" }],
    },
    {
      title: "Gradient norm",
      explanation: "Over all parameters, before clipping.",
      steps,
      curves: noisyCurves("Gradient norm", column("gradientNorm")),
    },
  ];
}

export function captionChart({ metrics }: Pick<TrainReport, "metrics">): Chart {
  const written = metrics.filter(({ captionLoss }) => captionLoss !== undefined);
  return {
    title: "Caption loss",
    explanation: "The decoder's cross-entropy on synthetic captions, in nats per token.",
    steps: written.map(({ step }) => step),
    curves: noisyCurves(
      "Caption loss",
      written.map(({ captionLoss }) => captionLoss!),
    ),
  };
}

/** A noisy curve and, from 200 steps on, its running mean over about a hundredth of the run. */
export function noisyCurves(label: string, values: readonly number[]): Curve[] {
  if (values.length < 200) return [{ label, values, likeness: "main" }];
  let mean = values[0]!;
  return [
    { label, values, likeness: "faint" },
    {
      label: "Running mean",
      values: values.map((value) => (mean += (100 / values.length) * (value - mean))),
      likeness: "main",
    },
  ];
}

export function findingList(findings: TrainReport["findings"]): Html {
  return html`<ul class="card findings">
    ${findings.map(
      ({ step, text }) =>
        html`<li>
          <span class="quiet">step ${count(step)}</span>
          ${text.charAt(0).toUpperCase() + text.slice(1)}.
        </li>`,
    )}
  </ul>`;
}

function skippedList(skipped: TrainTotals["skipped"]): Html {
  const hidden = skipped.length - maxSkippedShown;
  return html`<details class="card">
    <summary>
      ${counted(skipped.length, "image")} could not be read and ${skipped.length === 1 ? "was" : "were"} skipped
    </summary>
    <ul class="skipped">
      ${skipped.slice(0, maxSkippedShown).map(
        ({ path, reason }) =>
          html`<li>
            <bdi>${path}</bdi> <span class="quiet"><bdi>${reason}</bdi></span>
          </li>`,
      )}
    </ul>
    ${hidden > 0 ? html`<p class="quiet">and ${count(hidden)} more</p>` : ""}
  </details>`;
}

function validationTable(validation: readonly ValidationResult[]): Html {
  return html`<details class="card">
    <summary>Validation as a table</summary>
    <div class="scroll">
      <table class="numbers">
        <thead>
          <tr>
            ${["Step", "Top-1", "Top-5", "Images", "Labels"].map((name) => html`<th scope="col">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${validation.map(
            ({ step, top1, top5, count: images, classes }) =>
              html`<tr>
                ${[count(step), percent(top1), percent(top5), count(images), count(classes)].map((cell) => html`<td>${cell}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}

/** Images with their answers, and the number of right ones. */
export function samplePredictions(predictions: readonly SamplePrediction[]): Html {
  return html`<p class="quiet hint">
      ${predictions.filter(isRight).length} of ${predictions.length} right. The right label is bold, with a blue bar.
    </p>
    ${predictionCards(predictions)}`;
}

export function settingsTable(config: TrainReport["config"]): Html {
  return html`<h2>Settings</h2>
    <div class="card scroll">
      <table>
        <tbody>
          ${Object.entries(config).map(
            ([key, value]) =>
              html`<tr>
                <th scope="row"><bdi>${key}</bdi></th>
                <td><bdi>${String(value)}</bdi></td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

export const trainStyles = `
.hint { margin-bottom: .75rem; }
details.card { margin-top: 1rem; }
.findings { padding-left: 2.2rem; }
.findings li + li { margin-top: .6rem; }
.skipped { list-style: none; margin-top: .75rem; max-height: 20rem; overflow: auto; overflow-wrap: anywhere; font-size: .9rem; }
.skipped li { padding: .25rem 0; border-top: 1px solid var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--ink-2); }
.numbers { margin-top: .75rem; font-variant-numeric: tabular-nums; }
.numbers th, .numbers td { text-align: right; padding: .25rem 1rem; }
`;
