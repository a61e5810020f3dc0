import type { SamplePrediction } from "../report/prediction-cards.ts";
import { type Prediction } from "../../learning/train/validate.ts";
import { readPicture } from "../../inputs/data/image-location.ts";
import { thumbnail } from "./thumbnail.ts";

/** Validation pictures on a page about a run, and the longer side of each in pixels. */
const shownPictures = 24;
const shownSize = 192;

/** Chooses predictions for a page, and makes small copies of their pictures, each once. */
export class ShownPredictions {
  readonly #thumbnails = new Map<string, string>();

  /**
   * Some predictions, evenly over the set, with probabilities among the labels shown.
   *
   * @param scale - what similarities are multiplied with: the exponential of logitScale.
   * @throws {ClipError} if a picture cannot be read any more.
   */
  async choose(predictions: readonly Prediction[], scale: number): Promise<SamplePrediction[]> {
    const every = Math.max(1, predictions.length / shownPictures);
    const chosen = predictions.filter((_, i) => Math.floor(i / every) !== Math.floor((i - 1) / every));
    return Promise.all(
      chosen.slice(0, shownPictures).map(async ({ truth, ranked, ...picture }) => {
        const weights = ranked.map(({ similarity }) => Math.exp(scale * (similarity - ranked[0]!.similarity)));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const probable = ranked.map(({ label }, i) => ({ label, probability: weights[i]! / total }));
        const small = this.#thumbnails.get(picture.image) ?? (await thumbnail(await readPicture(picture), shownSize));
        this.#thumbnails.set(picture.image, small);
        return { picture: small, truth, ranked: probable };
      }),
    );
  }
}
