import type { RetrievalScores } from "../../learning/evaluate/retrieval.ts";
import { comparison, type Figures, scoreTableStyles } from "./comparison.ts";
import { html, type Html } from "./html.ts";
import { count, counted, percent } from "./numbers.ts";
import { figures, modelNotice, page, img } from "./page.ts";

export interface RetrievalModel {
  readonly model: string;
  readonly scores: RetrievalScores;
  /** Data URLs of all images in the hard queries, by path. */
  readonly images: ReadonlyMap<string, string>;
}

/**
 * The page of `clip-ts eval retrieval --html`: how often the right caption or image is found, and the hardest queries with what was
 * found instead; one HTML document that needs nothing else. All texts are escaped.
 */
export function retrievalPage({
  data,
  prefix,
  models,
}: {
  /** Location of images and captions. */
  readonly data: string;
  /** Text prepended to each caption. */
  readonly prefix: string;
  readonly models: readonly RetrievalModel[];
}): string {
  const best = models.reduce((a, b) => (b.scores.imageRetrieval.r1 > a.scores.imageRetrieval.r1 ? b : a));
  const { scores } = best;
  return page({
    title: `Retrieval on ${data}`,
    styles: scoreTableStyles + styles,
    body: html`<header>
        <p class="quiet">Retrieval evaluation</p>
        <h1><bdi>${data}</bdi></h1>
        <p class="lead">
          <bdi>${best.model}</bdi> finds the right one of ${counted(scores.images, "image")} for
          ${percent(scores.imageRetrieval.r1)} of captions, and one of the right ones of
          ${counted(scores.captions, "caption")} for ${percent(scores.textRetrieval.r1)} of images. Chance is
          ${percent(1 / scores.images)}.
        </p>
        ${modelNotice(...models.map(({ model }) => model))}
        ${prefix === "" ? "" : html`<p class="quiet">Text before each caption: “<bdi>${prefix}</bdi>”.</p>`}
      </header>
      ${models.length > 1 ? comparison(models.map(({ model, scores }) => ({ model, figures: figuresOf(scores) }))) : ""}
      ${models.map((model) => modelSection(model, models.length > 1))}`,
  });
}

function figuresOf({ imageRetrieval, textRetrieval }: RetrievalScores): Figures {
  const recalls = (way: string, { r1, r5, r10 }: RetrievalScores["imageRetrieval"]) =>
    [
      [`${way}, R@1`, percent(r1)],
      [`${way}, R@5`, percent(r5)],
      [`${way}, R@10`, percent(r10)],
    ] as const;
  return [...recalls("Image by caption", imageRetrieval), ...recalls("Caption by image", textRetrieval)];
}

function modelSection({ model, scores, images }: RetrievalModel, several: boolean): Html {
  const { hardCaptions, hardImages, cut, broken } = scores;
  const show = (image: string, alt: string) => img(images.get(image)!, alt);
  return html`<section>
    ${several ? html`<h2 class="model"><bdi>${model}</bdi></h2>` : ""} ${figures(figuresOf(scores))}
    ${cut > 0 ? html`<p class="quiet">${counted(cut, "caption")} had more tokens than the model reads, and were truncated.</p>` : ""}
    ${broken.length > 0 ? html`<p class="quiet">${counted(broken.length, "image")} could not be read.</p>` : ""}
    ${
      hardCaptions.length === 0
        ? ""
        : html`<h2>The hardest captions</h2>
            <p class="quiet hint">The right image, outlined, and the images that ranked first.</p>
            <ul class="queries">
              ${hardCaptions.map(
                ({ caption, rank, image, found }) =>
                  html`<li class="card">
                    <p>“<bdi>${caption}</bdi>”</p>
                    <p class="quiet">${counted(rank, "image")} ranked before the right one.</p>
                    <div class="strip">
                      <span class="own">${show(image, `right: ${caption}`)}</span>
                      ${found.map((other) => show(other, "found instead"))}
                    </div>
                  </li>`,
              )}
            </ul>`
    }
    ${
      hardImages.length === 0
        ? ""
        : html`<h2>The hardest images</h2>
            <p class="quiet hint">The best right caption with its rank, and the captions that ranked first.</p>
            <ul class="queries">
              ${hardImages.map(
                ({ image, rank, own, found }) =>
                  html`<li class="card beside">
                    ${show(image, own)}
                    <div>
                      <p><span class="right">${count(rank + 1)}.</span> <bdi>${own}</bdi></p>
                      <ol class="quiet">
                        ${found.map((other) => html`<li><bdi>${other}</bdi></li>`)}
                      </ol>
                    </div>
                  </li>`,
              )}
            </ul>`
    }
  </section>`;
}

const styles = `
.model { margin-top: 3rem; padding-top: 1rem; border-top: 2px solid var(--line); font-size: 1.5rem; }
.hint { margin-bottom: .75rem; }
.figures { grid-template-columns: repeat(auto-fit, minmax(max(8.5rem, 27%), 1fr)); }
.queries { list-style: none; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem; margin-top: .6rem; }
.strip img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .3rem; }
.strip .own { outline: 3px solid var(--right); outline-offset: -1px; border-radius: .3rem; }
.beside { display: grid; grid-template-columns: 7rem 1fr; gap: 1rem; align-items: start; }
.beside img { width: 7rem; height: 7rem; object-fit: cover; border-radius: .4rem; }
.beside ol { margin-top: .4rem; padding-left: 1.4rem; }
.right { color: var(--right); font-weight: 600; }
`;
