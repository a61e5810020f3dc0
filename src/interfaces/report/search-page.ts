import { html, type Html } from "./html.ts";
import { counted, percent } from "./numbers.ts";
import { img, modelNotice, page } from "./page.ts";
import { shortNames } from "./short-names.ts";

/** Contents of {@link searchPage}. */
export interface SearchPageParts {
  /** As given. */
  readonly query: string;
  readonly hits: readonly {
    readonly item: { readonly path: string; readonly taken?: string | undefined; readonly camera?: string | undefined };
    readonly probability: number;
  }[];
  /** Data URLs by path; images that cannot be read are missing. */
  readonly images: ReadonlyMap<string, string>;
  readonly model: string;
}

/** Page of `clip-ts search --html`, a self-contained HTML document: the images that match a query, best first. */
export function searchPage({ query, hits, images, model }: SearchPageParts): string {
  const names = shortNames(hits.map(({ item }) => item.path));
  const found = hits.length === 0 ? "Nothing matches." : `${counted(hits.length, "image")}, best first.`;
  return page({
    title: query,
    styles,
    body: html`<header>
        <p class="quiet">Search</p>
        <h1><bdi>${query}</bdi></h1>
        <p class="lead">${found} Model: <bdi>${model}</bdi>.</p>
        ${modelNotice(model)}
      </header>
      <ul class="hits">
        ${hits.map((hit, i) => card(hit, names[i]!, images.get(hit.item.path)))}
      </ul>`,
  });
}

function card({ item, probability }: SearchPageParts["hits"][number], name: string, image: string | undefined): Html {
  const facts = [item.taken?.slice(0, 10), item.camera].filter(Boolean).join(" · ");
  return html`<li class="card">
    <div class="frame">${image === undefined ? html`<p class="quiet">not readable now</p>` : img(image, name)}</div>
    <p class="name" title="${item.path}"><bdi>${name}</bdi></p>
    <p class="quiet">${percent(probability)}${facts === "" ? "" : ` · ${facts}`}</p>
  </li>`;
}

const styles = `
.hits { list-style: none; display: grid; gap: 1rem; margin-top: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); }
.hits .card { padding: .6rem; }
.hits .frame { aspect-ratio: 1; display: grid; place-items: center; background: var(--track); border-radius: .4rem; overflow: hidden; }
.hits img { width: 100%; height: 100%; object-fit: contain; }
.hits .name { margin-top: .5rem; font-weight: 600; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
`;
