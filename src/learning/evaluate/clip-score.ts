/** What captions and references are put behind (Hessel et al. 2021). */
export const clipScorePrefix = "A photo depicts ";

/** Brings the cosines of published CLIPs, which hardly exceed 0.4, to about [0, 1]. */
const scale = 2.5;

/** How well a caption fits an image: 2.5 · max(cos, 0) of their embeddings (Hessel et al. 2021). */
export function clipScore(similarity: number): number {
  return scale * Math.max(similarity, 0);
}

/**
 * The same with captions that people wrote: the harmonic mean of {@link clipScore} and the cosine to the nearest of them.
 *
 * @param similarity - of caption and image.
 * @param references - cosines of the caption with each reference, at least one.
 */
export function refClipScore(similarity: number, references: readonly number[]): number {
  const score = clipScore(similarity);
  const nearest = Math.max(...references, 0);
  return score + nearest === 0 ? 0 : (2 * score * nearest) / (score + nearest);
}
