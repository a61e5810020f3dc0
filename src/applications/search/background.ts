import { type ClipEncoder, collect, dot } from "../../model/embedding/encoder.ts";
import { backgroundPrompts } from "./background-prompts.ts";

/**
 * How far a match must stand out from the background, in standard deviations, and the share of the best one's distance that it must
 * reach. Chosen on half of the names of an artist's drawings; docs/search.md has precision and recall on the other half.
 */
const [least, leastShare] = [2.75, 0.85];
/** How fast the probability grows beyond. */
const slope = 3;
/** Rows whose statistics count as much as the assumption made without any: that the query fits them like any other prompt. */
const priorRows = 30;

/** Scores of an index's rows for a query, before they become probabilities. */
export interface QueryBackground {
  readonly mean: number;
  readonly deviation: number;
}

/**
 * What scores mean in an index. Cosines of a CLIP are not comparable between queries: some texts are close to every image. So a
 * score is compared with those of the same image for other prompts, and with those of the same query for other images.
 */
export class Background {
  readonly #prompts: readonly Float32Array[];
  readonly #sample: readonly Float32Array[];

  /**
   * @param prompts - embeddings of {@link backgroundPrompts}.
   * @param sample - some of the index's vectors, at random.
   */
  constructor(prompts: readonly Float32Array[], sample: readonly Float32Array[]) {
    this.#prompts = prompts;
    this.#sample = sample;
  }

  /** Scores of the index's rows for a query: their median, and their spread above and below it without the outliers. */
  of(query: Float32Array): QueryBackground {
    const scores = this.#sample.map((vector) => this.#relative(query, vector)).sort((a, b) => a - b);
    const at = (share: number) => scores[Math.min(scores.length - 1, Math.floor(share * scores.length))] ?? 0;
    const weight = scores.length / (scores.length + priorRows);
    // From the lower half, which has no matches: the distance from the median to the sixteenth percentile of a normal distribution.
    const spread = Math.max(at(0.5) - at(0.16), 0.25);
    return { mean: weight * at(0.5), deviation: weight * spread + (1 - weight) };
  }

  /** How far an image's score for a query stands out from the background, in standard deviations. */
  distinctness(query: Float32Array, vector: Float32Array, { mean, deviation }: QueryBackground): number {
    return (this.#relative(query, vector) - mean) / deviation;
  }

  /** How much better an image fits a query than other prompts, in standard deviations of its scores for those. */
  #relative(query: Float32Array, vector: Float32Array): number {
    let [sum, squares] = [0, 0];
    for (const prompt of this.#prompts) {
      const score = dot(prompt, vector);
      sum += score;
      squares += score * score;
    }
    const mean = sum / this.#prompts.length;
    const deviation = Math.sqrt(Math.max(squares / this.#prompts.length - mean * mean, 1e-12));
    return (dot(query, vector) - mean) / deviation;
  }
}

/**
 * The probability that an image matches a query.
 *
 * @param distinctness - of the image, and of the best one.
 */
export function matchProbability(distinctness: number, best: number): number {
  const margin = Math.min(distinctness - least, distinctness - leastShare * best);
  return 1 / (1 + Math.exp(-slope * margin));
}

/** Embeddings of the prompts that every image is compared with. */
export const embedBackground = (encoder: ClipEncoder, signal?: AbortSignal): Promise<Float32Array[]> =>
  collect(encoder.encodeTexts(backgroundPrompts, { signal }));
