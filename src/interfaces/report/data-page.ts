import { html, type Html } from "./html.ts";
import { count, counted, percent } from "./numbers.ts";
import { page, img } from "./page.ts";
import { shortNames } from "./short-names.ts";

/** Distribution of a number; `bins` are counts in equal intervals from `min` to `max`. */
interface Distribution {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  readonly bins: readonly number[];
}

export interface DataPageParts {
  /** As given. */
  readonly source: string;
  readonly report: {
    readonly pairs: number;
    readonly skipped: readonly { readonly image: string; readonly reason: string }[];
    readonly reasons: readonly { readonly reason: string; readonly count: number }[];
    readonly width: Distribution | undefined;
    readonly height: Distribution | undefined;
    readonly repeatedImages: number;
    readonly captions: {
      readonly count: number;
      readonly distinct: number;
      readonly shared: readonly { readonly caption: string; readonly images: number }[];
      readonly tokens: Distribution;
      readonly contextLength: number;
      readonly tooLong: number;
    };
    readonly notes: readonly string[];
  };
  /** About 60 images, evenly spread over the source, as data URLs of about 224 pixels. */
  readonly sheet: readonly { readonly image: string; readonly name: string; readonly captions: readonly string[] }[];
}

const maxListed = 200;

/**
 * Page of `clip-ts data check --html`, a self-contained HTML document: a summary, notes, distributions, unusable images, shared
 * captions, and a contact sheet.
 */
export function dataPage({ source, report, sheet }: DataPageParts): string {
  const { pairs, skipped, width, height, captions, notes } = report;
  const all = pairs + skipped.length;
  const cards: [string, string][] = [
    ["Pairs", count(pairs)],
    ["Skipped", skipped.length === 0 ? "none" : `${count(skipped.length)} (${percent(skipped.length / all)})`],
    ["Captions", count(captions.count)],
    ["Distinct captions", count(captions.distinct)],
    ["Repeated images", report.repeatedImages === 0 ? "none" : count(report.repeatedImages)],
    ["Captions too long", captions.tooLong === 0 ? "none" : count(captions.tooLong)],
  ];
  return page({
    title: `${source}: training data`,
    styles,
    body: html`<header>
        <p class="quiet">Training data</p>
        <h1><bdi>${source}</bdi></h1>
        <p class="lead">${inWords(report)}</p>
      </header>
      <dl class="figures">
        ${cards.map(
          ([name, value]) =>
            html`<div class="card">
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>`,
        )}
      </dl>
      ${
        notes.length > 0
          ? html`<h2>Before you train</h2>
              <ul class="card notes">
                ${notes.map((note) => html`<li>${note}</li>`)}
              </ul>`
          : ""
      }
      <h2>Sizes</h2>
      <div class="charts">
        ${width && height ? [histogram("Width", "pixels", width), histogram("Height", "pixels", height)] : ""}
        ${histogram("Length of captions", "tokens", captions.tokens, captions.contextLength)}
      </div>
      ${skipped.length > 0 ? skippedList(report) : ""} ${captions.shared.length > 0 ? sharedList(report) : ""}
      ${sheet.length > 0 ? contactSheet(sheet) : ""}`,
  });
}

function inWords({ pairs, skipped, captions }: DataPageParts["report"]): string {
  const usable = `${counted(pairs, "pair")} can be used`;
  const rest = skipped.length === 0 ? "none is broken" : `${count(skipped.length)} cannot`;
  const each = captions.count / Math.max(1, pairs);
  const several = each >= 1.05 ? `, with ${each.toFixed(1)} captions per image` : "";
  return `${usable}${several}; ${rest}.`;
}

/** A histogram; columns beyond `limit` are highlighted. */
function histogram(title: string, unit: string, values: Distribution, limit?: number): Html {
  const { min, median, max, bins } = values;
  const most = Math.max(...bins);
  const step = (max - min) / bins.length;
  const column = (n: number, i: number) => {
    const [from, to] = [Math.ceil(min + i * step), Math.floor(min + (i + 1) * step)];
    const beyond = limit !== undefined && from > limit;
    const label = `${from === to || step === 0 ? count(from) : `${count(from)} to ${count(to)}`} ${unit}: ${count(n)}`;
    return html`<span
      class="${beyond ? "beyond" : "column"}"
      style="height:${n === 0 ? 0 : Math.max(1, (100 * n) / most).toFixed(1)}%"
      title="${label}"
    ></span>`;
  };
  const limited = limit === undefined ? "" : `; the model reads ${count(limit)}`;
  return html`<figure class="card">
    <figcaption>
      <h3>${title}</h3>
      <p class="quiet">${min === max ? "All are" : "Median"} ${count(median)} ${unit}${limited}</p>
    </figcaption>
    <div
      class="columns"
      role="img"
      aria-label="${title}: ${count(min)} to ${count(max)} ${unit}, median ${count(median)}"
    >
      ${bins.map(column)}
    </div>
    <p class="axis">${min === max ? "" : html`<span>${count(min)}</span>`}<span>${count(max)} ${unit}</span></p>
  </figure>`;
}

function skippedList({ skipped, reasons }: DataPageParts["report"]): Html {
  const listed = skipped.slice(0, maxListed);
  const names = shortNames(listed.map(({ image }) => image));
  const hidden = skipped.length - listed.length;
  return html`<h2>Skipped</h2>
    <div class="card">
      <table>
        <tbody>
          ${reasons.map(
            ({ reason, count: n }) =>
              html`<tr>
                <td class="number">${count(n)}</td>
                <td><bdi>${reason}</bdi></td>
              </tr>`,
          )}
        </tbody>
      </table>
      <details>
        <summary>All images</summary>
        <ul class="list">
          ${listed.map(
            ({ image, reason }, i) =>
              html`<li>
                <bdi>${names[i]!}</bdi> <span class="quiet"><bdi>${reason.replaceAll(image, names[i]!)}</bdi></span>
              </li>`,
          )}
        </ul>
        ${hidden > 0 ? html`<p class="quiet">and ${count(hidden)} more</p>` : ""}
      </details>
    </div>`;
}

function sharedList({ captions: { shared } }: DataPageParts["report"]): Html {
  const most = shared[0]!.images;
  return html`<h2>Shared captions</h2>
    <div class="card scroll">
      <table class="shared">
        <tbody>
          ${shared.map(
            ({ caption, images }) =>
              html`<tr>
                <td>
                  <p title="${caption}"><bdi>${caption}</bdi></p>
                </td>
                <td class="number">${count(images)}</td>
                <td class="bar" aria-hidden="true">
                  <span style="width:${((100 * images) / most).toFixed(1)}%"></span>
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

function contactSheet(sheet: DataPageParts["sheet"]): Html {
  return html`<h2>Contact sheet</h2>
    <p class="quiet hint">${counted(sheet.length, "image")}, evenly spread over the source.</p>
    <ul class="sheet">
      ${sheet.map(
        ({ image: shown, name, captions }) =>
          html`<li class="card" title="${[name, ...captions].join("\n")}">
            ${img(shown, captions[0]!)}
            <p><bdi>${captions[0]!}</bdi></p>
            ${captions.length > 1 ? html`<p class="quiet">and ${counted(captions.length - 1, "more caption")}</p>` : ""}
          </li>`,
      )}
    </ul>`;
}

const styles = `
.figures { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(max(9.5rem, 15%), 1fr)); margin: 1.5rem 0 1rem; }
.figures .card { display: flex; flex-direction: column; justify-content: space-between; padding: .75rem 1rem; }
.figures dt { color: var(--ink-2); font-size: .85rem; }
.figures dd { font-size: clamp(1.05rem, 4vw, 1.3rem); font-weight: 600; line-height: 1.3; }
.notes { list-style: none; border-left: .3rem solid var(--series-2); padding: .25rem 1rem; }
.notes li { padding: .5rem 0; max-width: 50rem; }
.notes li + li { border-top: 1px solid var(--line); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.columns { display: flex; align-items: flex-end; gap: 2px; height: 7rem; margin-top: .75rem; border-bottom: 1px solid var(--line); forced-color-adjust: none; }
.columns span { flex: 1; border-radius: 2px 2px 0 0; background: var(--series-1); }
.columns span:only-child { max-width: 2rem; margin: 0 auto; }
.columns .beyond { background: var(--series-2); }
.axis { display: flex; justify-content: space-between; font-size: .8rem; color: var(--ink-2); font-variant-numeric: tabular-nums; }
.axis span:only-child { margin: 0 auto; }
table { border-collapse: collapse; font-size: .95rem; }
td { padding: .25rem 1rem .25rem 0; vertical-align: baseline; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin-top: .75rem; }
.list { list-style: none; margin-top: .75rem; max-height: 20rem; overflow: auto; overflow-wrap: anywhere; font-size: .9rem; }
.list li { padding: .25rem 0; border-top: 1px solid var(--line); }
.scroll { max-height: 22rem; overflow: auto; }
.shared { width: 100%; }
.shared p { display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; }
.shared .bar { width: 40%; padding-right: 0; }
.shared .bar span { display: block; height: .5rem; min-width: 2px; border-radius: .25rem; background: var(--series-1); forced-color-adjust: none; }
.hint { margin-bottom: .75rem; }
.sheet { list-style: none; display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(46%, 9.5rem), 1fr)); }
.sheet .card { padding: .5rem; font-size: .85rem; line-height: 1.3; }
.sheet img { width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: .35rem; background: var(--track); margin-bottom: .4rem; }
.sheet p { overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
`;
