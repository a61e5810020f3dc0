import { html, type Html } from "./html.ts";
import { count, counted } from "./numbers.ts";
import { bars, modelNotice, page, img, templateList } from "./page.ts";
import { shortNames } from "./short-names.ts";
import { extremes } from "./thin-out.ts";

export interface ClassifiedImage {
  /** Path as given. */
  readonly image: string;
  /** Best first. `probability` in [0, 1], `similarity` (cosine) in [−1, 1]. */
  readonly labels: readonly { readonly label: string; readonly probability: number; readonly similarity: number }[];
}

export interface ClassifyReport {
  readonly results: readonly ClassifiedImage[];
  /** All labels, in column order. */
  readonly labels: readonly string[];
  /** Data URLs (`data:image/…`, about 320 pixels) by path as in `results`; images may be missing. */
  readonly images: ReadonlyMap<string, string>;
  readonly model: string;
  /** Templates with `{}` for the label. */
  readonly templates: readonly string[];
}

/** Limit of labels shown per image. */
const maxBars = 5;
/** Limit of the heat map's columns, for a screen's width. */
const maxColumns = 30;
/** Beyond this the heat map scrolls under a sticky head. */
const maxRows = 20;

/**
 * Page of `clip-ts classify --html`, a self-contained HTML document: every image with its labels and, for several images, a heat
 * map of similarities.
 */
export function classifyPage({ results, labels, images, model, templates }: ClassifyReport): string {
  const title = `${counted(results.length, "image")}, ${counted(labels.length, "label")}`;
  const names = shortNames(results.map(({ image }) => image));
  const show = (image: string) => {
    const dataUrl = images.get(image);
    return dataUrl === undefined ? html`<span class="missing">no image</span>` : img(dataUrl, image);
  };
  return page({
    title,
    styles,
    body: html`<header>
        <h1>${title}</h1>
        <p class="lead">Classified by <bdi>${model}</bdi>, zero-shot.</p>
        ${modelNotice(model)} ${templates.length > 0 ? templateList(templates) : ""}
      </header>
      <section class="images" aria-label="Images and their labels">
        ${results.map((result, i) => imageCard(result, names[i]!, show(result.image)))}
      </section>
      ${results.length > 1 && labels.length > 0 ? heatMap(results, names, labels, show) : ""}`,
  });
}

function imageCard({ image, labels }: ClassifiedImage, name: string, shown: Html): Html {
  const hidden = labels.length - maxBars;
  return html`<article class="card">
    <div class="image">${shown}</div>
    <div>
      <h2 title="${image}"><bdi>${name}</bdi></h2>
      ${bars(labels.slice(0, maxBars).map(({ label, probability }, i) => ({ label, probability, marked: i === 0 })))}
      ${hidden > 0 ? html`<p class="quiet rest">and ${counted(hidden, "label")} less likely</p>` : ""}
    </div>
  </article>`;
}

function heatMap(
  results: readonly ClassifiedImage[],
  names: readonly string[],
  labels: readonly string[],
  show: (image: string) => Html,
): Html {
  const chosen = chooseColumns(results);
  const columns = labels.filter((label) => chosen.has(label));
  const rows = results.map(({ image, labels }) => {
    const similarity = new Map(labels.map((entry) => [entry.label, entry.similarity]));
    return { image, cells: columns.map((label) => similarity.get(label)) };
  });
  const known = rows.flatMap(({ cells }) => cells.filter((cell) => cell !== undefined));
  const [low, high] = extremes(known).map((i) => known[i]!) as [number, number];
  return html`<h2 id="heat-title">Similarity of every image to every label</h2>
    <p class="quiet">
      Cosine of the angle between image and label; outlined: an image's best.
      ${columns.length < labels.length ? `Shown are ${count(columns.length)} of ${count(labels.length)} labels: each image's best ones.` : ""}
    </p>
    <div class="legend" aria-hidden="true">
      <span>${cosine(low)}</span><span class="scale"></span><span>${cosine(high)}</span>
    </div>
    <div
      class="card heat-frame${rows.length > maxRows ? " tall" : ""}"
      tabindex="0"
      role="region"
      aria-labelledby="heat-title"
    >
      <table class="${columns.length > 8 ? "heat upright" : "heat"}">
        <thead>
          <tr>
            <td></td>
            ${columns.map((label) => html`<th scope="col" title="${label}"><bdi>${label}</bdi></th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(({ image, cells }, i) => {
            const best = Math.max(...cells.filter((cell) => cell !== undefined));
            return html`<tr>
              <th scope="row" title="${image}">${show(image)}${middleCut(names[i]!)}</th>
              ${cells.map((cell) => heatCell(cell, low, high, cell === best))}
            </tr>`;
          })}
        </tbody>
      </table>
    </div>`;
}

/** A name that is shortened in the middle if it is too long, since names differ most at their ends. */
function middleCut(name: string): Html {
  const characters = [...name];
  const end = Math.max(0, characters.length - 12);
  return html`<bdi
    ><span>${characters.slice(0, end).join("")}</span><span>${characters.slice(end).join("")}</span></bdi
  >`;
}

/** Chooses columns: every image's best label, then every image's second, and so on, up to {@link maxColumns}. */
function chooseColumns(results: readonly ClassifiedImage[]): ReadonlySet<string> {
  const columns = new Set<string>();
  const longest = Math.max(...results.map(({ labels }) => labels.length));
  for (let rank = 0; rank < longest && columns.size < maxColumns; rank++) {
    for (const { labels } of results) {
      const entry = labels[rank];
      if (entry && columns.size < maxColumns) columns.add(entry.label);
    }
  }
  return columns;
}

function heatCell(similarity: number | undefined, low: number, high: number, best: boolean): Html {
  if (similarity === undefined)
    return html`<td class="unknown" title="not among the labels kept for this image">–</td>`;
  const share = high > low ? (similarity - low) / (high - low) : 1;
  // At this share black and white text are equally legible, with a contrast of at least 4.5 in light and dark mode.
  const classes = `${share > 0.6 ? "high" : ""}${best ? " best" : ""}`;
  return html`<td class="${classes}" style="--share:${(100 * share).toFixed(1)}%">${cosine(similarity)}</td>`;
}

const cosine = (similarity: number): string => similarity.toFixed(2).replace("-", "−");

const styles = `
.images { display: grid; gap: 1rem; margin-top: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
.images .card { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 1.25rem; align-items: start; }
.images h2 { font-size: .9rem; font-weight: 500; color: var(--ink-2); margin: 0 0 .75rem; overflow-wrap: anywhere; }
.image img { border-radius: .4rem; width: 100%; max-height: 22rem; object-fit: contain; object-position: top; }
.missing { display: grid; place-items: center; aspect-ratio: 1; border: 1px dashed var(--line); border-radius: .4rem; color: var(--ink-2); font-size: .8rem; text-align: center; }
.rest { margin-top: .6rem; }
@media (max-width: 32rem) { .images .card { grid-template-columns: 1fr; } .image img { max-height: 18rem; width: auto; } }
.legend { display: flex; align-items: center; gap: .5rem; margin: .75rem 0; font-size: .85rem; font-variant-numeric: tabular-nums; }
.scale { width: 12rem; height: .7rem; border-radius: .2rem; background: linear-gradient(in oklab to right, var(--heat-low), var(--heat-high)); border: 1px solid var(--line); forced-color-adjust: none; }
.heat-frame { overflow: auto; padding: 0; width: fit-content; max-width: 100%; }
.heat-frame.tall { max-height: 90vh; }
@media print { .heat-frame.tall { max-height: none; } }
/* A border, because rows would show through padding above the sticky head. */
.heat { border-collapse: separate; border-spacing: 2px; border: solid transparent; border-width: 0 .4rem .4rem 0; font-size: .85rem; }
.heat thead > tr > * { position: sticky; top: 0; z-index: 1; background: var(--surface); vertical-align: bottom; padding: .4rem; font-weight: 500; }
.heat thead th { min-width: 4.5rem; line-height: 1.2; }
.heat thead bdi { display: block; max-width: 7rem; margin: auto; overflow-wrap: break-word; }
.heat.upright thead th { min-width: 2.9rem; text-align: left; }
.heat.upright thead bdi { writing-mode: vertical-rl; rotate: 180deg; max-height: 11rem; }
.heat tbody th { position: sticky; left: 0; background: var(--surface); padding: .25rem .5rem; font-weight: 400; text-align: left; }
.heat tbody th > * { width: clamp(6rem, 16vw, 9rem); }
.heat tbody th .missing { height: 3.5rem; }
.heat tbody th img { height: 3.5rem; object-fit: contain; object-position: left; }
.heat tbody th bdi { display: flex; font-size: .7rem; color: var(--ink-2); white-space: pre; }
.heat tbody th span:first-child { overflow: hidden; text-overflow: ellipsis; }
.heat tbody th span:last-child { flex: none; }
.heat tbody td { text-align: center; padding: .4rem; font-variant-numeric: tabular-nums; border-radius: .3rem; forced-color-adjust: none;
  color: var(--on-low); background: color-mix(in oklab, var(--heat-high) var(--share), var(--heat-low)); }
.heat tbody td.high { color: var(--on-high); }
.heat tbody td.best { outline: 2px solid var(--ink); outline-offset: -2px; font-weight: 700; }
.heat tbody td.unknown { background: none; color: var(--ink-2); }
`;
