import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "../../inputs/data/image-location.ts";
import { captionColumns, imageColumns, readTexts } from "../../inputs/data/table.ts";
import { type ClipEncoder, collect, dot } from "../../model/embedding/encoder.ts";
import { clipScore, clipScorePrefix, refClipScore } from "./clip-score.ts";
import { meanOfKnown } from "./classification-metrics.ts";
import { encodeReadable, type ReadOptions } from "../../model/embedding/encode-readable.ts";

/** A caption to be judged. */
export interface Candidate extends ImageLocation {
  readonly caption: string;
  /** What people say of the image; empty where nobody was asked. */
  readonly references: readonly string[];
}

/** Where in a table the candidates are. */
export interface CandidateColumns {
  /** With what people say; without it there are no references. */
  readonly referenceColumn?: string | undefined;
  /** What stands between several references. Default `|`. */
  readonly separator?: string | undefined;
  /** What paths of images are relative to, and where these may lie, links followed. Default: the table's folder. */
  readonly images?: string | undefined;
}

/**
 * Reads captions to be judged from a `.csv`, `.tsv` or `.jsonl` with the columns `image` (or `path`, `filepath`) and
 * `caption` (or `title`).
 *
 * @throws {ClipError} `CLIP_DATA` as {@link readTexts} and {@link assertSomeExist}, and if there is no row.
 */
export async function readCandidates(
  path: string,
  { referenceColumn, separator = "|", images }: CandidateColumns = {},
): Promise<{ readonly candidates: readonly Candidate[]; readonly skipped: readonly SkippedImage[] }> {
  const { rows, skipped } = await readTexts<string>(path, {
    ...{ image: imageColumns, caption: captionColumns },
    ...(referenceColumn !== undefined && { references: [referenceColumn] }),
  });
  if (rows.length === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  const candidates = rows.map(({ place, values }) => ({
    ...imageOfTable(path, place, values["image"]!, images),
    caption: values["caption"]!,
    references: values["references"]?.split(separator).map((text) => text.trim()) ?? [],
  }));
  await assertSomeExist(path, candidates, baseOf(images));
  return { candidates, skipped };
}

/** How well captions fit their images. */
export interface ClipScores {
  readonly count: number;
  /** Means over the captions. */
  readonly clipScore: number;
  /** Undefined without references. */
  readonly refClipScore: number | undefined;
  readonly captions: readonly (Candidate & { readonly clipScore: number; readonly refClipScore: number | undefined })[];
  /** Captions and references with more tokens than the model reads, which were cut. */
  readonly cut: number;
  readonly broken: readonly SkippedImage[];
}

/**
 * Judges captions by a CLIP, with references or without (Hessel et al. 2021).
 *
 * @throws {ClipError} `CLIP_DATA` if not one image can be read.
 */
export async function evaluateCaptions(
  encoder: ClipEncoder,
  candidates: readonly Candidate[],
  { signal, ...reading }: Omit<ReadOptions, "onSkip"> = {},
): Promise<ClipScores> {
  const broken: SkippedImage[] = [];
  const onSkip = (image: SkippedImage) => void broken.push(image);
  const imageEmbeds = new Map<string, Float32Array>();
  const locations = [...new Map(candidates.map((candidate) => [candidate.image, candidate as ImageLocation])).values()];
  for await (const [{ image }, imageEmbed] of encodeReadable(encoder, locations, { ...reading, signal, onSkip }))
    imageEmbeds.set(image, imageEmbed);
  const judged = candidates.filter(({ image }) => imageEmbeds.has(image));
  if (judged.length === 0)
    throw new ClipError("CLIP_DATA", `not one of ${locations.length} images can be read: ${broken[0]!.reason}`);

  let cut = 0;
  const texts = [...new Set(judged.flatMap(({ caption, references }) => [caption, ...references]))];
  const prompts = texts.map((text) => clipScorePrefix + text);
  const embeds = await collect(encoder.encodeTexts(prompts, { signal, onTruncate: () => void cut++ }));
  const embedOf = new Map(texts.map((text, i) => [text, embeds[i]!]));
  const captions = judged.map((candidate) => {
    const textEmbed = embedOf.get(candidate.caption)!;
    const similarity = dot(imageEmbeds.get(candidate.image)!, textEmbed);
    const references = candidate.references.map((text) => dot(textEmbed, embedOf.get(text)!));
    const { image, caption } = candidate;
    return {
      ...{ image, caption, references: candidate.references },
      clipScore: clipScore(similarity),
      refClipScore: references.length === 0 ? undefined : refClipScore(similarity, references),
    };
  });
  return {
    ...{ count: captions.length, captions, cut, broken },
    clipScore: meanOfKnown(captions.map((caption) => caption.clipScore))!,
    refClipScore: meanOfKnown(captions.map((caption) => caption.refClipScore)),
  };
}
