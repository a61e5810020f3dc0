import type { LabelledImage } from "../../inputs/data/labelled-images.ts";
import { type KnownSet, publishedScore } from "../../learning/evaluate/known-sets.ts";
import { type ZeroShotAnswer, type ZeroShotScores } from "../../learning/evaluate/zero-shot.ts";
import type { ShownConfusion, ZeroShotModel } from "../report/zero-shot-page.ts";
import type { Measured } from "./evaluation.ts";
import { thumbnails } from "./output.ts";

/** Mistakes on the page, and the longer side of each image in pixels. */
const shownMistakes = 24;
const shownSize = 160;
/** Confusions on the page, and images of each. */
const shownConfusions = 8;
const imagesOfConfusion = 4;

/** A model's part of the page about a zero-shot evaluation. */
export async function shownModel(
  { model, scores }: Measured<ZeroShotScores>,
  samples: readonly LabelledImage[],
  known: KnownSet | undefined,
): Promise<ZeroShotModel> {
  const mistakes = worstMistakes(scores.answers);
  const confusions = scores.confusions
    .slice(0, shownConfusions)
    .map((pair): ShownConfusion => ({ ...pair, images: imagesOf(scores.answers, pair) }));
  const shown = [...mistakes.map(({ image }) => image), ...confusions.flatMap(({ images }) => images)];
  const images = await thumbnails(shown, samples, shownSize);
  return { model, scores, mistakes, confusions, published: known && publishedScore(known, model), images };
}

/** The mistakes with the largest difference between the probabilities of the wrong and the right label. */
function worstMistakes(answers: readonly ZeroShotAnswer[]): ZeroShotAnswer[] {
  const margin = ({ ranked, truthProbability }: ZeroShotAnswer) => ranked[0]!.probability - truthProbability;
  return answers
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => margin(b) - margin(a))
    .slice(0, shownMistakes);
}

function imagesOf(answers: readonly ZeroShotAnswer[], { truth, predicted }: Omit<ShownConfusion, "images">): string[] {
  return answers
    .filter(({ rank, truths, ranked }) => rank > 0 && truths[0] === truth && ranked[0]!.label === predicted)
    .slice(0, imagesOfConfusion)
    .map(({ image }) => image);
}
