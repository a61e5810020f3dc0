import type { SamplePrediction } from "../report/prediction-cards.ts";
import { type Prediction } from "../../learning/train/validate.ts";
import { readImage } from "../../inputs/data/image-location.ts";
import { logitOf, softmax } from "../../model/embedding/logits.ts";
import { thumbnail } from "./thumbnail.ts";

/** Validation images on a run's page, and the longer side of each in pixels. */
const shownImages = 24;
const shownSize = 192;

/** Chooses predictions for a page, and caches small copies of their images. */
export class ShownPredictions {
  readonly #thumbnails = new Map<string, string>();

  /**
   * Chooses predictions evenly over the set; probabilities are among the labels shown.
   *
   * @throws {ClipError} if an image can no longer be read.
   */
  async choose(predictions: readonly Prediction[], logitScale: number): Promise<SamplePrediction[]> {
    const logit = logitOf({ logitScale, logitBias: 0 });
    const every = Math.max(1, predictions.length / shownImages);
    const chosen = predictions.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
    return Promise.all(
      chosen.slice(0, shownImages).map(async ({ truth, ranked, ...image }) => {
        const probabilities = softmax(ranked.map(({ similarity }) => logit(similarity)));
        const probable = ranked.map(({ label }, i) => ({ label, probability: probabilities[i]! }));
        const small = this.#thumbnails.get(image.image) ?? (await thumbnail(await readImage(image), shownSize));
        this.#thumbnails.set(image.image, small);
        return { image: small, truth, ranked: probable };
      }),
    );
  }
}
