import type { FinetuneRecord } from "../../learning/finetune/finetune.ts";
import { html, type Html } from "./html.ts";
import { counted, percent } from "./numbers.ts";
import { figures, modelNotice, page } from "./page.ts";

type Point = FinetuneRecord["sweep"][number];

/**
 * Report of a fine-tuning, a self-contained HTML document: results on both sets, the curve over all blends, and the settings.
 *
 * @param training - relative address of the training run's page.
 */
export function finetunePage(record: FinetuneRecord, training: string): string {
  const { sweep, alpha, why, data, validation, general, pairs, plan, model } = record;
  const [original, tuned] = [sweep[0]!, sweep.at(-1)!];
  const kept = sweep.find((point) => point.alpha === alpha);
  return page({
    title: `Fine-tuning on ${data}`,
    styles,
    body: html`<header>
        <p class="quiet">Fine-tuning report</p>
        <h1><bdi>${data}</bdi></h1>
        <p class="lead">${resultInWords(original, kept, alpha)} ${sentence(why)}</p>
        ${modelNotice(model)}
      </header>
      ${figures(figuresOf(original, kept))}
      <h2>Between the original and the tuned model</h2>
      <div class="curve-and-table">
        ${curve(record)}
        <div class="card scroll">${sweepTable(record)}</div>
      </div>
      <p class="quiet hint">
        Each blend has (1 − α) of the original's weights and α of the tuned ones. Any other is one command away:
        <code>clip-ts finetune --run <bdi>RUN</bdi> --alpha ${tuned.alpha === alpha ? "0.5" : "1"}</code> puts it into
        the run's model, without training again.
      </p>
      <h2>Data</h2>
      <div class="card scroll">
        <table>
          <tbody>
            ${row("Original model", html`<bdi>${model}</bdi>`)}
            ${row("Trained on", html`${counted(pairs.train, "pair")} of <bdi>${data}</bdi>`)}
            ${row("Your images", validationInWords(original, validation))}
            ${row("General set", generalInWords(original, general))}
          </tbody>
        </table>
      </div>
      <h2>Training</h2>
      <p class="quiet hint">
        Defaults for ${plan.recipe} pairs. <a href="${training}">Curves and sample predictions of the training</a>
      </p>
      <div class="card scroll">
        <table>
          <thead>
            <tr>
              ${["Setting", "Value", "Reason"].map((name) => html`<th scope="col">${name}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${plan.settings.map(
              ({ name, value, why }) =>
                html`<tr>
                  <th scope="row"><bdi>${name}</bdi></th>
                  <td class="value"><bdi>${JSON.stringify(value)}</bdi></td>
                  <td>${why}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`,
  });
}

const row = (name: string, value: Html) =>
  html`<tr>
    <th scope="row">${name}</th>
    <td>${value}</td>
  </tr>`;

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function resultInWords(original: Point, kept: Point | undefined, alpha: number): string {
  if (!kept) return `The kept blend, α = ${alpha}, was not measured.`;
  const before = original.validation.top1;
  const own =
    `The kept blend, α = ${alpha}, classifies ${percent(kept.validation.top1)} of your images correctly, ` +
    `the original ${percent(before)}`;
  if (!kept.general) return `${own}.`;
  return `${own}; on the general set ${percent(kept.general.top1)}, the original ${percent(original.general!.top1)}.`;
}

function figuresOf(original: Point, kept: Point | undefined): [string, string][] {
  const change = (of: "validation" | "general"): string => {
    const [before, after] = [original[of]?.top1, kept?.[of]?.top1];
    return before === undefined || after === undefined ? "–" : `${percent(before)} → ${percent(after)}`;
  };
  const own: [string, string] = ["Your images, top-1", change("validation")];
  return original.general ? [own, ["General set, top-1", change("general")]] : [own];
}

function validationInWords({ validation: { count: images, classes } }: Point, source: string | undefined): Html {
  const from = source === undefined ? html`held out of the data` : html`of <bdi>${source}</bdi>`;
  return html`${counted(images, "image")} ${from}, ${counted(classes, "label")}; chance is ${percent(1 / classes)}`;
}

function generalInWords({ general }: Point, source: string | undefined): Html {
  if (!general || source === undefined) return html`none: losses on other images were not measured`;
  return html`${counted(general.count, "image")} of <bdi>${source}</bdi>, ${counted(general.classes, "label")}; chance
    is ${percent(1 / general.classes)}`;
}

function sweepTable({ sweep, alpha }: FinetuneRecord): Html {
  const withGeneral = sweep[0]!.general !== undefined;
  const heads = ["α", "Yours, top-1", "top-5", ...(withGeneral ? ["General, top-1", "top-5"] : []), ""];
  return html`<table class="numbers">
    <thead>
      <tr>
        ${heads.map((name) => html`<th scope="col">${name}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${sweep.map((point) => {
        const scores = [point.validation, ...(point.general ? [point.general] : [])];
        return html`<tr class="${point.alpha === alpha ? "kept" : ""}">
          <th scope="row">${point.alpha.toFixed(1)}</th>
          ${scores.flatMap(({ top1, top5 }) => [top1, top5]).map((share) => html`<td>${percent(share)}</td>`)}
          <td class="note">${note(point.alpha, alpha)}</td>
        </tr>`;
      })}
    </tbody>
  </table>`;
}

const note = (alpha: number, kept: number) =>
  [alpha === 0 && "original", alpha === 1 && "tuned", alpha === kept && "kept"].filter(Boolean).join(", ");

/** Inner size of the drawing, and margins for the axes. */
const [width, height, left, bottom] = [460, 280, 48, 44];

/** Top-1 over α on both sets. */
function curve({ sweep, alpha, maxLoss }: FinetuneRecord): Html {
  const shares = sweep.flatMap(({ validation, general }) => [validation.top1, ...(general ? [general.top1] : [])]);
  const { low, high, ticks } = axis(Math.min(...shares), Math.max(...shares));
  const x = (of: number) => rounded(width * of);
  const y = (share: number) => rounded((height * (high - share)) / (high - low));
  const line = (of: readonly (number | undefined)[], name: string, label: string, mark: "circle" | "rect") => {
    const points = sweep.flatMap((point, i) => (of[i] === undefined ? [] : [[x(point.alpha), y(of[i])] as const]));
    return html`<polyline class="${name}" points="${points.map((place) => place.join(",")).join(" ")}" /> ${points.map(
        ([px, py], i) => {
          const title = html`<title>${label}, α ${sweep[i]!.alpha}: ${percent(of[i]!)}</title>`;
          return mark === "circle"
            ? html`<circle class="${name}" cx="${px}" cy="${py}" r="4">${title}</circle>`
            : html`<rect class="${name}" x="${px - 3.5}" y="${py - 3.5}" width="7" height="7">${title}</rect>`;
        },
      )}`;
  };
  const own = sweep.map(({ validation }) => validation.top1);
  const general = sweep.map((point) => point.general?.top1);
  const limit = sweep[0]!.general && sweep[0]!.general.top1 - maxLoss;
  return html`<figure class="card" aria-labelledby="curve-title">
    <h3 id="curve-title">Top-1 by blend</h3>
    <p class="legend quiet">
      <span><i class="own"></i>your images</span>
      ${limit === undefined ? "" : html`<span><i class="general"></i>general set</span><span><i class="limit"></i>lower limit</span>`}
      <span><i class="kept"></i>kept, α ${alpha}</span>
    </p>
    <svg
      class="alpha-curve"
      viewBox="0 0 ${width + left + 12} ${height + bottom + 12}"
      role="img"
      aria-label="${courseInWords(sweep)}"
    >
      <g transform="translate(${left} 10)">
        ${ticks.map(
          (share) =>
            html`<line class="grid" x1="0" x2="${width}" y1="${y(share)}" y2="${y(share)}" />
              <text x="-8" y="${y(share) + 4}" text-anchor="end">${Math.round(100 * share)}</text>`,
        )}
        ${sweep
          .filter((_, i) => i % 2 === 0)
          .map(
            (point) => html`<text x="${x(point.alpha)}" y="${height + 20}" text-anchor="middle">${point.alpha}</text>`,
          )}
        <line class="kept" x1="${x(alpha)}" x2="${x(alpha)}" y1="0" y2="${height}" />
        ${limit === undefined || limit < low ? "" : html`<line class="limit" x1="0" x2="${width}" y1="${y(limit)}" y2="${y(limit)}" />`}
        ${limit === undefined ? "" : line(general, "general", "general set", "rect")}
        ${line(own, "own", "your images", "circle")}
        <text x="0" y="${height + 38}">original</text>
        <text x="${width / 2}" y="${height + 38}" text-anchor="middle">α</text>
        <text x="${width}" y="${height + 38}" text-anchor="end">tuned</text>
        <text transform="translate(${10 - left} ${height / 2}) rotate(-90)" text-anchor="middle">top-1, %</text>
      </g>
    </svg>
  </figure>`;
}

const rounded = (length: number): number => Math.round(10 * length) / 10;

/** Axis range and ticks at round values. */
function axis(least: number, most: number): { low: number; high: number; ticks: number[] } {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2];
  const step = steps.find((step) => (most - least) / step <= 6) ?? 0.2;
  const [first, last] = [Math.floor(least / step), Math.max(Math.ceil(most / step), Math.floor(least / step) + 1)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low: ticks[0]!, high: ticks.at(-1)!, ticks };
}

function courseInWords(sweep: readonly Point[]): string {
  const course = (name: string, values: readonly number[]) =>
    `${name} from ${percent(values[0]!)} at α 0 to ${percent(values.at(-1)!)} at α 1, at most ${percent(Math.max(...values))}`;
  const own = course(
    "Your images",
    sweep.map(({ validation }) => validation.top1),
  );
  const general = sweep.flatMap((point) => (point.general ? [point.general.top1] : []));
  return general.length === 0 ? `${own}.` : `${own}; ${course("the general set", general)}.`;
}

const styles = `
.hint { margin: .75rem 0; }
.figures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.curve-and-table { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 29rem), 1fr)); align-items: start; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--ink-2); white-space: nowrap; }
.value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.numbers { width: 100%; font-variant-numeric: tabular-nums; }
.numbers th, .numbers td { text-align: right; padding: .28rem .32rem; white-space: nowrap; }
.numbers thead th { border-bottom: 1px solid var(--line); }
.numbers .note { text-align: left; color: var(--ink-2); }
.numbers .kept th, .numbers .kept td { font-weight: 600; color: var(--ink); background: var(--track); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin-top: .25rem; }
.legend i { display: inline-block; width: 1.1rem; margin-right: .4rem; vertical-align: .2em; border-top: 3px solid; }
.legend .own { border-color: var(--series-1); }
.legend .general { border-color: var(--series-2); }
.legend .limit { border-top-style: dashed; border-color: var(--series-2); border-top-width: 2px; }
.legend .kept { border-top-style: dotted; border-color: var(--ink-2); }
.alpha-curve { display: block; width: 100%; max-width: 36rem; margin: .75rem auto 0; forced-color-adjust: none; }
.alpha-curve .grid { stroke: var(--line); }
.alpha-curve line.kept { stroke: var(--ink-2); stroke-width: 2; stroke-dasharray: 2 4; }
.alpha-curve line.limit { stroke: var(--series-2); stroke-width: 1.5; stroke-dasharray: 6 4; }
.alpha-curve polyline { fill: none; stroke-width: 2; }
.alpha-curve polyline.own { stroke: var(--series-1); }
.alpha-curve polyline.general { stroke: var(--series-2); }
.alpha-curve circle.own { fill: var(--series-1); }
.alpha-curve rect.general { fill: var(--series-2); }
.alpha-curve text { fill: var(--ink-2); font: 12px system-ui, sans-serif; }
`;
