/** How far down each query's answer stands: wrong ones before it, 0 if it comes first; ties count against. */
export interface RetrievalRanks {
  /** For each image its best caption among all captions: text retrieval. */
  readonly textRanks: number[];
  /** For each caption its image among all images: image retrieval. */
  readonly imageRanks: number[];
}

/**
 * Ranks in both directions. An image may have several captions: the best of its own counts, and the others do not stand in its
 * way, as in CLIP_benchmark.
 *
 * @param rows - for each image in turn the similarities to all captions; asked for twice, so that never more than a row is held.
 * @param imageOfText - for each caption the number of its image; every image has one at least.
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
