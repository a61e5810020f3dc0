/** Text prepended to captions and references (Hessel et al. 2021). */
export const clipScorePrefix = "A photo depicts ";

/** Stretches published CLIPs' cosines, which rarely exceed 0.4, to about [0, 1]. */
const scale = 2.5;

/** CLIPScore of a caption: 2.5 · max(similarity, 0) (Hessel et al. 2021). */
export function clipScore(similarity: number): number {
  return scale * Math.max(similarity, 0);
}

/**
 * RefCLIPScore: the harmonic mean of {@link clipScore} and the cosine with the nearest reference caption.
 *
 * @param similarity - of caption and image.
 * @param references - cosines of the caption with each reference, at least one.
 */
export function refClipScore(similarity: number, references: readonly number[]): number {
  const score = clipScore(similarity);
  const nearest = Math.max(...references, 0);
  return score + nearest === 0 ? 0 : (2 * score * nearest) / (score + nearest);
}
