import { html, type Html } from "./html.ts";
import { bars, img } from "./page.ts";

/** A labelled image with a model's answers. */
export interface SamplePrediction {
  /** Data URL, `data:image/…`, about 192 pixels. */
  readonly image: string;
  /** The right label. */
  readonly truth: string;
  /** Best first. */
  readonly ranked: readonly { readonly label: string; readonly probability: number }[];
}

/** Whether the best answer is right. */
export const isRight = ({ truth, ranked }: SamplePrediction): boolean => ranked[0]?.label === truth;

/** Cards with an image and its answers, the right label highlighted. */
export function predictionCards(predictions: readonly SamplePrediction[]): Html {
  return html`<ul class="predictions">
    ${predictions.map((prediction) => {
      const { truth, ranked } = prediction;
      return html`<li class="card">
        ${img(prediction.image, truth)}
        <div>
          <p class="truth">
            ${isRight(prediction) ? html`<span class="right">✓ right</span>` : html`<span class="wrong">✗ wrong</span>`}
            <bdi>${truth}</bdi>
          </p>
          ${bars(ranked.map((bar) => ({ ...bar, marked: bar.label === truth })))}
        </div>
      </li>`;
    })}
  </ul>`;
}

export const predictionStyles = `
.predictions { list-style: none; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.predictions .card { display: grid; grid-template-columns: 6rem 1fr; gap: 1rem; align-items: start; }
.predictions .card > * { min-width: 0; }
.predictions img { width: 6rem; height: 6rem; object-fit: cover; border-radius: .4rem; }
.truth { margin-bottom: .6rem; line-height: 1.3; font-weight: 600; overflow-wrap: anywhere; }
.right, .wrong { display: block; font-size: .85rem; }
.right { color: var(--right); }
.wrong { color: var(--wrong); }
`;
