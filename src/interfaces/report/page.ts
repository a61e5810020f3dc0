import { createHash } from "node:crypto";
import { ClipError } from "../../core/errors.ts";
import { modelName } from "../../model/hub/cache.ts";
import { pictograms, pictogramsNotice } from "../../model/hub/known-models.ts";
import { html, trusted, type Html } from "./html.ts";
import { counted, percent } from "./numbers.ts";

/** Parts of a page. `styles` and `script` are trusted code, inserted without escaping. */
export interface PageParts {
  readonly title: string;
  readonly styles: string;
  readonly body: Html;
  readonly script?: string;
  /** Whether the script connects to the page's server. */
  readonly asksServer?: boolean;
}

/**
 * Builds a self-contained HTML document, which follows the system's light or dark mode.
 *
 * Its content security policy forbids all requests, except to its own server if `asksServer`, and all code but `script`. So an
 * escaping mistake cannot run code, and a shared page cannot call home.
 */
export function page({ title, styles, body, script = "", asksServer = false }: PageParts): string {
  const hash = createHash("sha256").update(script).digest("base64");
  const sources = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${hash}'`;
  const policy = `${sources};${asksServer ? " connect-src 'self';" : ""} base-uri 'none'; form-action 'none'`;
  const document = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style>
          ${trusted(sharedStyles + styles)}
        </style>
      </head>
      <body>
        <main>${body}</main>
        ${script === "" ? "" : trusted(`<script>${script}</script>`)}
      </body>
    </html> `;
  return document.text;
}

/** An embedded image. @throws {ClipError} `CLIP_USAGE` if `dataUrl` is not a data URL. */
export function img(dataUrl: string, alt: string): Html {
  if (!dataUrl.startsWith("data:image/")) {
    throw new ClipError(
      "CLIP_USAGE",
      `images of a page must be embedded: expected a URL that begins with data:image/, got ${dataUrl.slice(0, 40)}`,
    );
  }
  return html`<img src="${dataUrl}" alt="${alt}" decoding="async" />`;
}

/** A line of a ranking; `marked` lines are highlighted. */
export interface Bar {
  readonly label: string;
  /** In [0, 1]. */
  readonly probability: number;
  readonly marked?: boolean;
}

/** A notice if one of the models is the bundled one, which knows only drawings. */
export function modelNotice(...models: readonly string[]): Html | "" {
  return models.some((model) => modelName(model) === pictograms) ? html`<p class="quiet">${pictogramsNotice}.</p>` : "";
}

/** A ranking as labels with percentages and decorative bars. */
export function bars(ranked: readonly Bar[]): Html {
  return html`<ol class="bars">
    ${ranked.map(
      ({ label, probability, marked }) =>
        html`<li${trusted(marked ? ' class="marked"' : "")}>
          <bdi class="label">${label}</bdi>
          <span class="value">${percent(probability)}</span>
          <span class="track" aria-hidden="true"><span style="width:${(100 * probability).toFixed(2)}%"></span></span>
        </li>`,
    )}
  </ol>`;
}

/** Cards with a name and a value each. */
export function figures(named: readonly (readonly [name: string, value: string])[]): Html {
  return html`<dl class="figures">
    ${named.map(
      ([name, value]) =>
        html`<div class="card">
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** The templates that were used. */
export function templateList(templates: readonly string[]): Html {
  const quoted = templates.map((template) => html`<li>“<bdi>${template}</bdi>”</li>`);
  const summary = `Each label was read in ${counted(templates.length, "sentence")}`;
  return html`<details class="quiet templates" ${trusted(templates.length <= 4 ? " open" : "")}>
    <summary>${summary}</summary>
    <ul>
      ${quoted}
    </ul>
  </details>`;
}

const sharedStyles = `
:root {
  color-scheme: light;
  --page: #f6f6f3; --surface: #fff; --ink: #111; --ink-2: #55544f; --line: #e3e2dc;
  --series-1: #2a78d6; --series-2: #d9540b; --series-faint: #b3d0f2; --series-quiet: #8b8983; --track: #eceae4; --idle: #86847c;
  --right: #0a7a2f; --wrong: #c32b2b;
  --heat-low: #e9f1fc; --heat-high: #0b2f63; --on-low: #000; --on-high: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --page: #121211; --surface: #1c1c1a; --ink: #f4f3ef; --ink-2: #b6b4ac; --line: #34332f;
    --series-1: #4a94ea; --series-2: #ea7a3c; --series-faint: #244a78; --series-quiet: #8b8983; --track: #2b2a27; --idle: #7f7d75;
    --right: #4cc274; --wrong: #f27a74;
    --heat-low: #111b27; --heat-high: #90bdf3; --on-low: #fff; --on-high: #000;
  }
}
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1, h2, h3, p, ol, ul, dl, dd, figure { margin: 0; padding: 0; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; }
.lead { font-size: 1.1rem; margin-top: .5rem; max-width: 46rem; overflow-wrap: anywhere; }
.quiet { color: var(--ink-2); font-size: .9rem; overflow-wrap: anywhere; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; min-width: 0; }
summary { cursor: pointer; }
:focus-visible { outline: 2px solid var(--series-1); outline-offset: 2px; }
img { display: block; max-width: 100%; }
.bars { list-style: none; display: grid; gap: .5rem; }
.bars li { display: grid; grid-template-columns: 1fr auto; column-gap: .4rem; align-items: baseline; line-height: 1.25; }
.bars .label { overflow-wrap: anywhere; }
.bars .value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.bars .track { grid-column: 1 / -1; height: .4rem; margin-top: .2rem; border-radius: .2rem; background: var(--track); overflow: hidden; forced-color-adjust: none; }
.bars .track span { display: block; height: 100%; min-width: 1px; border-radius: .2rem; background: var(--idle); }
.figures { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(max(8.5rem, 22%), 1fr)); margin: 1.5rem 0 1rem; }
.figures .card { display: flex; flex-direction: column; justify-content: space-between; padding: .75rem 1rem; }
.figures dt { color: var(--ink-2); font-size: .85rem; }
.figures dd { font-size: clamp(1.1rem, 4.5vw, 1.4rem); font-weight: 600; line-height: 1.3; }
.templates { margin-top: .5rem; }
.templates ul { list-style: none; margin-top: .25rem; }
.bars .marked .track span { background: var(--series-1); }
.bars .marked .label, .bars .marked .value { font-weight: 600; }
`;
