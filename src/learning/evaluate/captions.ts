import { ClipError } from "../../core/errors.ts";
import type { SkippedImage } from "../../inputs/data/image-files.ts";
import { assertSomeExist, baseOf, type ImageLocation, imageOfTable } from "../../inputs/data/image-location.ts";
import { pick } from "../../core/pick.ts";
import { captionColumns, imageColumns, readTexts } from "../../inputs/data/table.ts";
import { checkKind, checkOptions, type OptionKinds, sourceOf, text } from "../../core/options.ts";
import { type ClipEncoder, collect, dot, encoderKind } from "../../model/embedding/encoder.ts";
import { clipScore, clipScorePrefix, refClipScore } from "./clip-score.ts";
import { meanOfKnown } from "./classification-metrics.ts";
import { encodeReadable, readKinds, type ReadOptions } from "../../model/embedding/encode-readable.ts";

export interface Candidate extends ImageLocation {
  readonly caption: string;
  /** Captions by people; may be empty. */
  readonly references: readonly string[];
}

/** Columns and separators of a table of candidates. */
export interface CandidateColumns {
  /** Default: no references. */
  readonly referenceColumn?: string | undefined;
  /** Separates the references of a row. Default `|`. */
  readonly separator?: string | undefined;
  /** The folder that paths are relative to, and that all images must be in. Default: the table's folder. */
  readonly images?: string | undefined;
}

const candidateKinds: OptionKinds<CandidateColumns> = { referenceColumn: text, separator: text, images: text };

/**
 * Reads captions to score from a `.csv`, `.tsv` or `.jsonl` with the columns `image` (or `path`, `filepath`) and
 * `caption` (or `title`).
 *
 * @throws {ClipError} `CLIP_DATA`, see `readTexts` and `assertSomeExist`, or if there are no rows.
 */
export async function readCandidates(
  path: string,
  options: CandidateColumns = {},
): Promise<{ readonly candidates: readonly Candidate[]; readonly skipped: readonly SkippedImage[] }> {
  checkOptions("readCandidates", options, candidateKinds);
  const { referenceColumn, separator = "|", images } = options;
  const references = referenceColumn !== undefined && { references: [referenceColumn] };
  const columns = { image: imageColumns, caption: captionColumns, ...references };
  const { rows, skipped } = await readTexts<string>(path, columns);
  if (rows.length === 0) throw new ClipError("CLIP_DATA", `${path} has no rows below the names of its columns`);
  const candidates = rows.map(({ place, values }) => ({
    ...imageOfTable(path, place, values["image"]!, images),
    caption: values["caption"]!,
    references: values["references"]?.split(separator).map((text) => text.trim()) ?? [],
  }));
  await assertSomeExist(path, candidates, baseOf(images));
  return { candidates, skipped };
}

export interface ClipScores {
  readonly count: number;
  /** Mean over the captions. */
  readonly clipScore: number;
  /** Undefined without references. */
  readonly refClipScore: number | undefined;
  readonly captions: readonly (Candidate & { readonly clipScore: number; readonly refClipScore: number | undefined })[];
  /** Number of captions and references cut because they have more tokens than the model reads. */
  readonly cut: number;
  readonly broken: readonly SkippedImage[];
}

/**
 * Measures CLIPScore and, with references, RefCLIPScore (Hessel et al. 2021).
 *
 * @example
 * ```ts
 * await using clip = await loadClip("pictograms");
 * const { candidates } = await readCandidates("captions.csv");
 * console.log((await evaluateCaptions(clip, candidates)).clipScore);
 * ```
 *
 * @throws {ClipError} `CLIP_DATA` if no image can be read.
 */
export async function evaluateCaptions(
  encoder: ClipEncoder,
  candidates: readonly Candidate[],
  options: Omit<ReadOptions, "onSkip"> = {},
): Promise<ClipScores> {
  checkKind("evaluateCaptions: the model", encoder, encoderKind);
  checkKind("evaluateCaptions: the captions", candidates, sourceOf("captions"));
  checkOptions("evaluateCaptions", options, readKinds);
  const { signal, ...reading } = options;
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
    return {
      ...pick(candidate, ["image", "caption", "references"]),
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
