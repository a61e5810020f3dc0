import { html, type Html } from "./html.ts";

/** Figures of a model: name and value. */
export type Figures = readonly (readonly [name: string, value: string])[];

/** Table of models, one per row, with the same figures. */
export function comparison(models: readonly { readonly model: string; readonly figures: Figures }[]): Html {
  return html`<h2>Models</h2>
    <div class="card scroll">
      <table class="scores">
        <thead>
          <tr>
            <th scope="col">Model</th>
            ${models[0]!.figures.map(([name]) => html`<th scope="col">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${models.map(
            ({ model, figures }) =>
              html`<tr>
                <th scope="row"><bdi>${model}</bdi></th>
                ${figures.map(([, value]) => html`<td>${value}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

/** Styles of tables of figures; wide ones scroll in their card. */
export const scoreTableStyles = `
.scroll { overflow: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.scores th, .scores td { text-align: right; padding: .3rem .9rem; white-space: nowrap; font-weight: 400; }
.scores thead th { color: var(--ink-2); font-weight: 500; }
.scores th:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: anywhere; }
.scores tbody tr { border-top: 1px solid var(--line); }
`;
