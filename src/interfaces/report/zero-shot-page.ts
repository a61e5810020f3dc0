import { metricNames } from "../../learning/evaluate/known-sets.ts";
import type { ZeroShotAnswer, ClassScores, ZeroShotScores } from "../../learning/evaluate/zero-shot.ts";
import type { PublishedScore } from "../../learning/evaluate/known-sets.ts";
import { comparison, scoreTableStyles } from "./comparison.ts";
import { html, type Html } from "./html.ts";
import { count, counted, percent } from "./numbers.ts";
import { figures, modelNotice, page, img, templateList } from "./page.ts";
import { predictionCards, predictionStyles } from "./prediction-cards.ts";
import { reliabilityDiagram, reliabilityStyles } from "./reliability.ts";

/** A confusion of two classes, with images. */
export interface ShownConfusion {
  readonly truth: string;
  readonly predicted: string;
  readonly count: number;
  /** Keys of {@link ZeroShotModel.images}. */
  readonly images: readonly string[];
}

export interface ZeroShotModel {
  readonly model: string;
  readonly scores: ZeroShotScores;
  /** The worst mistakes, in order. */
  readonly mistakes: readonly ZeroShotAnswer[];
  readonly confusions: readonly ShownConfusion[];
  /** Published scores of the model, if the images are a data set of the paper. */
  readonly published?: PublishedScore | undefined;
  /** Data URLs (about 160 pixels) of the images in mistakes and confusions, by path. */
  readonly images: ReadonlyMap<string, string>;
}

export interface ZeroShotReport {
  /** Location of the images. */
  readonly data: string;
  /** The file or address of the labels, if any. */
  readonly labelsFrom: string | undefined;
  readonly templates: readonly string[];
  /** The file or address of the templates, if any. */
  readonly templatesFrom: string | undefined;
  /** Whether the examples are videos of several frames. */
  readonly videos: boolean;
  readonly models: readonly ZeroShotModel[];
}

/** Limit of classes in a confusion matrix; beyond it, only pairs are listed. */
const maxMatrix = 16;

const shownAnswers = 3;

/**
 * The page of `clip-ts eval zeroshot --html`: each model's figures, what it takes for what, whether its confidence can be believed, every
 * class, and its worst mistakes as images; one HTML document that needs nothing else. All texts are escaped.
 */
export function zeroShotPage(report: ZeroShotReport): string {
  const { data, labelsFrom, templates, templatesFrom, models } = report;
  const sources = [
    ...(labelsFrom === undefined ? [] : [html`Labels: <bdi>${labelsFrom}</bdi>.`]),
    ...(templatesFrom === undefined ? [] : [html` Templates: <bdi>${templatesFrom}</bdi>.`]),
  ];
  return page({
    title: `Zero-shot on ${data}`,
    styles: predictionStyles + reliabilityStyles + scoreTableStyles + styles,
    body: html`<header>
        <p class="quiet">Zero-shot evaluation</p>
        <h1><bdi>${data}</bdi></h1>
        <p class="lead">${resultInWords(report)}</p>
        ${modelNotice(...models.map(({ model }) => model))}
        ${sources.length > 0 ? html`<p class="quiet">${sources}</p>` : ""} ${templateList(templates)}
      </header>
      ${models.length > 1 ? comparison(models.map((shown) => ({ model: shown.model, figures: figuresOf(shown) }))) : ""}
      ${models.map((model) => modelSection(model, models.length > 1, report.videos ? "video" : "image"))}`,
  });
}

function resultInWords({ models, videos }: ZeroShotReport): string {
  const { model, scores } = models.reduce((best, other) => (other.scores.top1 > best.scores.top1 ? other : best));
  const classes = scores.classes.length;
  return (
    `${models.length > 1 ? `The best of ${models.length} models, ${model},` : model} classifies ${percent(scores.top1)} of ` +
    `${counted(scores.count, videos ? "video" : "image")} correctly, zero-shot, with ` +
    `${counted(classes, "label")}; chance is ${percent(1 / classes)}.`
  );
}

function figuresOf({ scores, published }: ZeroShotModel): [string, string][] {
  return [
    ["Top-1", percent(scores.top1)],
    ["Top-5", percent(scores.top5)],
    ["Mean per class", percent(scores.meanPerClass)],
    ["mAP, 11 points", percent(scores.meanAveragePrecision11)],
    ...(scores.rocAuc === undefined ? [] : [["ROC AUC", percent(scores.rocAuc)] as [string, string]]),
    ["Calibration error", percent(scores.calibration.error)],
    ...(published === undefined
      ? []
      : ([
          [`Paper, ${metricNames[published.metric]}`, known(published.paper)],
          [`Released weights, ${metricNames[published.metric]}`, known(published.released)],
        ] as [string, string][])),
  ];
}

function modelSection(shown: ZeroShotModel, several: boolean, noun: string): Html {
  const { model, scores, mistakes, images: thumbnails } = shown;
  const answers = mistakes.map(({ image, truths, ranked }) => ({
    ...{ image: thumbnails.get(image)!, truth: truths.join(", "), ranked: ranked.slice(0, shownAnswers) },
  }));
  return html`<section>
    ${several ? html`<h2 class="model"><bdi>${model}</bdi></h2>` : ""} ${figures(figuresOf(shown))}
    ${scores.broken.length > 0 ? brokenList(scores.broken) : ""}
    <h2>Confusions and calibration</h2>
    <div class="plots">
      ${scores.classes.length <= maxMatrix ? matrix(scores, noun) : ""} ${reliabilityDiagram(scores.calibration)}
    </div>
    ${shown.confusions.length > 0 ? confusionList(shown) : ""}
    <h2>Every class</h2>
    ${classTable(scores)}
    ${
      mistakes.length === 0
        ? html`<p class="quiet">No mistakes.</p>`
        : html`<h2>The worst mistakes</h2>
            <p class="quiet hint">
              The ${count(mistakes.length)} most confident of
              ${count(scores.answers.filter(({ rank }) => rank > 0).length)}. The right label is above the bars, and
              bold if it is among the best three.
            </p>
            ${predictionCards(answers)}`
    }
  </section>`;
}

/** Confusion matrix: rows are true classes, columns answers, shades shares of the row. */
function matrix({ classes, confusions, answers }: ZeroShotScores, noun: string): Html {
  const cell = (truth: string, predicted: string) =>
    truth === predicted
      ? answers.filter(({ rank, ranked }) => rank === 0 && ranked[0]!.label === truth).length
      : (confusions.find((pair) => pair.truth === truth && pair.predicted === predicted)?.count ?? 0);
  return html`<figure class="card scroll" aria-labelledby="matrix-title">
    <h3 id="matrix-title">Confusions</h3>
    <p class="quiet">Rows: true class of each ${noun}. Columns: answer. Shade: share of the row.</p>
    <table class="matrix">
      <thead>
        <tr>
          <td></td>
          ${classes.map(({ name }) => html`<th scope="col"><bdi>${name}</bdi></th>`)}
        </tr>
      </thead>
      <tbody>
        ${classes.map(
          (row) =>
            html`<tr>
              <th scope="row"><bdi>${row.name}</bdi></th>
              ${classes.map((column) => {
                const times = cell(row.name, column.name);
                const share = row.count === 0 ? 0 : times / row.count;
                const marks = `${share > 0.6 ? "high" : ""}${row === column ? " same" : ""}`;
                return html`<td class="${marks}" style="--share:${(100 * share).toFixed(1)}%">
                  ${times === 0 ? "" : count(times)}
                </td>`;
              })}
            </tr>`,
        )}
      </tbody>
    </table>
  </figure>`;
}

function confusionList({ confusions, images: thumbnails }: ZeroShotModel): Html {
  return html`<div class="card">
    <h3>Most frequent confusions</h3>
    <ol class="confusions">
      ${confusions.map(
        ({ truth, predicted, count: times, images }) =>
          html`<li>
            <p>
              <bdi>${truth}</bdi> called <b><bdi>${predicted}</bdi></b> <span class="quiet">${count(times)} ×</span>
            </p>
            <div>${images.map((image) => img(thumbnails.get(image)!, `${truth}, called ${predicted}`))}</div>
          </li>`,
      )}
    </ol>
  </div>`;
}

function classTable({ classes, confusions }: ZeroShotScores): Html {
  const worstFirst = [...classes].sort((a, b) => (a.recall ?? 2) - (b.recall ?? 2));
  const mostlyCalled = ({ name }: ClassScores) => confusions.find(({ truth }) => truth === name);
  return html`<div class="card scroll tall" tabindex="0" role="region" aria-label="Every class">
    <table class="scores classes">
      <thead>
        <tr>
          ${["Class, hardest first", "Shown", "Recall", "", "Precision", "AP", "Mostly confused with"].map(
            (name) => html`<th scope="col">${name}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${worstFirst.map((scores) => {
          const mistaken = mostlyCalled(scores);
          return html`<tr>
            <th scope="row"><bdi>${scores.name}</bdi></th>
            <td>${count(scores.count)}</td>
            <td>${known(scores.recall)}</td>
            <td class="track" aria-hidden="true">
              <span style="width:${(100 * (scores.recall ?? 0)).toFixed(1)}%"></span>
            </td>
            <td>${known(scores.precision)}</td>
            <td>${known(scores.averagePrecision11)}</td>
            <td class="text">
              ${mistaken ? html`<bdi>${mistaken.predicted}</bdi> <span class="quiet">${count(mistaken.count)} ×</span>` : ""}
            </td>
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

/** A share, or a dash if unknown. */
const known = (share: number | undefined): string => (share === undefined ? "–" : percent(share));

function brokenList(broken: ZeroShotScores["broken"]): Html {
  return html`<details class="card">
    <summary>
      ${counted(broken.length, "image")} could not be read and ${broken.length === 1 ? "was" : "were"} skipped
    </summary>
    <ul class="broken">
      ${broken.slice(0, 200).map(({ reason }) => html`<li><bdi>${reason}</bdi></li>`)}
    </ul>
  </details>`;
}

const styles = `
.model { margin-top: 3rem; padding-top: 1rem; border-top: 2px solid var(--line); font-size: 1.5rem; }
.hint { margin-bottom: .75rem; }
.plots { display: grid; gap: 1rem; align-items: start; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.plots + .card { margin-top: 1rem; }
.figures { grid-template-columns: repeat(auto-fit, minmax(max(8.5rem, 16%), 1fr)); }
.tall { max-height: 34rem; }
.broken { list-style: none; margin-top: .75rem; font-size: .9rem; overflow-wrap: anywhere; }
.scores .text, .classes thead th:last-child { text-align: left; }
.classes { width: 100%; }
.classes .track { width: 22%; min-width: 6rem; padding-left: 0; }
.classes .track span { display: block; height: .5rem; border-radius: .25rem; background: var(--series-1); forced-color-adjust: none; }
.matrix { border-collapse: separate; border-spacing: 2px; margin-top: .75rem; font-size: .8rem; }
.matrix th { font-weight: 400; color: var(--ink-2); }
.matrix thead th { vertical-align: bottom; padding: 0 0 .3rem; }
.matrix thead bdi { writing-mode: vertical-rl; rotate: 180deg; max-height: 8rem; }
.matrix tbody th { text-align: right; padding-right: .4rem; white-space: nowrap; }
.matrix tbody td { width: 2.1rem; height: 2.1rem; text-align: center; border-radius: .25rem; forced-color-adjust: none;
  color: var(--on-low); background: color-mix(in oklab, var(--heat-high) var(--share), var(--heat-low)); }
.matrix tbody td.high { color: var(--on-high); }
.matrix tbody td.same { outline: 2px solid var(--right); outline-offset: -2px; }
.confusions { list-style: none; margin-top: .5rem; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.confusions div { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .25rem; }
.confusions img { width: 4.2rem; height: 4.2rem; object-fit: cover; border-radius: .3rem; }
`;
