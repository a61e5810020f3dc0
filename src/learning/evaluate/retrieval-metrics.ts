/** Ranks of the right answers: the number of wrong ones before each, ties counting as wrong. */
export interface RetrievalRanks {
  /** Text retrieval: for each image, the rank of its best caption. */
  readonly textRanks: number[];
  /** Image retrieval: for each caption, the rank of its image. */
  readonly imageRanks: number[];
}

/**
 * Ranks in both directions. Of an image's captions the best counts, and the others do not compete with it, as in CLIP_benchmark.
 *
 * @param rows - similarities of each image with all captions, in order. Called twice, so that only one row is in memory.
 * @param imageOfText - image index of each caption; every image has at least one.
 */
export async function retrievalRanks(
  rows: () => AsyncIterable<ArrayLike<number>> | Iterable<ArrayLike<number>>,
  imageOfText: readonly number[],
): Promise<RetrievalRanks> {
  const own = new Float64Array(imageOfText.length);
  let image = 0;
  for await (const row of rows()) {
    imageOfText.forEach((of, text) => {
      if (of === image) own[text] = row[text]!;
    });
    image++;
  }
  const bestOwn = new Float64Array(image).fill(-Infinity);
  imageOfText.forEach((of, text) => (bestOwn[of] = Math.max(bestOwn[of]!, own[text]!)));
  const textRanks = Array.from(bestOwn, () => 0);
  const imageRanks = Array.from(own, () => 0);
  image = 0;
  for await (const row of rows()) {
    imageOfText.forEach((of, text) => {
      if (of === image) return;
      if (!(row[text]! < bestOwn[image]!)) textRanks[image]!++;
      if (!(row[text]! < own[text]!)) imageRanks[text]!++;
    });
    image++;
  }
  return { textRanks, imageRanks };
}
